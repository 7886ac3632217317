"""Told once per threshold and period: whatever is repeated, by whomever, and whoever dies in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from alerts_rig import MICRO, Alerted, alerted, cap_event, wallet_event
from control_places import Place
from control_world import World
from orders_rig import DAY_MS, Crash, Shop

from console_api.alerts import repository, rules
from console_api.alerts.intake import GROUP
from console_api.alerts.models import RuleChange
from console_api.control.intake import Intake
from console_api.metrics import Metrics
from kit.settings import KafkaSettings
from schemas import topics
from schemas.events import encode


@pytest_asyncio.fixture
async def told(place: Place, world: World) -> AsyncIterator[Alerted]:
    async with alerted(place, world) as made:
        yield made


async def change(told: Alerted, kind: Any, **fields: Any) -> None:
    wanted = RuleChange(**{"enabled": True, "channels": ["owners"], **fields})
    async with told.world.database.writing() as session:
        await rules.change(session, told.principal(), kind, wanted, told.world.clock())


async def test_a_threshold_is_told_once_however_often_it_is_heard(told: Alerted) -> None:
    event = wallet_event(told.world)

    assert await told.take(event, event) == 1
    assert await told.take(event) == 0
    # As a relay that crashed before it trimmed would say it again, later.
    told.world.clock.at_ms += 60_000
    assert await told.take(wallet_event(told.world, period_start_ms=event.period_start_ms)) == 0

    [alert] = await told.alerts()
    [message] = await told.deliveries()
    assert (alert.kind, alert.subject, alert.threshold) == ("credits", "wallet", "800")
    assert (message.channel_id, message.status, message.attempts) == ("owners", "waiting", 0)


async def test_the_event_may_be_called_something_else(told: Alerted) -> None:
    event = wallet_event(told.world)

    assert await told.take(event) == 1
    assert await told.take(msgspec.structs.replace(event, event_id="another")) == 0


async def test_the_next_threshold_and_the_next_period_are_told_anew(told: Alerted) -> None:
    first = wallet_event(told.world, 800)
    later = wallet_event(told.world, 800, period_start_ms=told.world.clock.at_ms)

    assert await told.take(first, wallet_event(told.world, 1_000), later) == 3
    assert {(alert.threshold, alert.period) for alert in await told.alerts()} == {
        ("800", str(first.period_start_ms)),
        ("1000", str(first.period_start_ms)),
        ("800", str(later.period_start_ms)),
    }


async def test_another_cap_has_thresholds_of_its_own(told: Alerted) -> None:
    assert await told.take(cap_event(told.world), cap_event(told.world)) == 1
    assert await told.take(cap_event(told.world, limit_micro=2 * MICRO)) == 1

    one, other = await told.alerts()
    assert one.details["instance"] == "Support agent"
    assert (one.details["limit_micro"], other.details["limit_micro"]) == (MICRO, 2 * MICRO)


async def test_many_processes_at_once_tell_it_once(told: Alerted, place: Place) -> None:
    databases = [place.open() for _ in range(4)]
    events = [wallet_event(told.world, permille) for permille in (800, 1_000)]
    events += [cap_event(told.world, permille) for permille in (800, 1_000)]

    new = await asyncio.gather(
        *(told.take(*order, database=database) for database in databases for order in (events, events[::-1]))
    )

    assert sum(new) == len(events)
    assert len(await told.alerts()) == len(await told.deliveries()) == len(events)
    for database in databases:
        await database.close()


async def test_whoever_dies_before_the_commit_told_nothing(told: Alerted, place: Place) -> None:
    shop = await Shop.open(place, told.world)
    with shop.dying(at_commit=1), pytest.raises(Crash):
        await told.take(wallet_event(told.world))

    assert (await told.alerts(), await told.deliveries()) == ([], [])
    assert await told.take(wallet_event(told.world)) == 1
    assert len(await told.deliveries()) == 1


async def test_what_nobody_asked_for_is_not_told(told: Alerted) -> None:
    assert await told.take(wallet_event(told.world, 500)) == 0
    await change(told, "credits", thresholds_percent=[50])
    assert await told.take(wallet_event(told.world, 800), wallet_event(told.world, 500)) == 1
    await change(told, "cap", enabled=False)
    assert await told.take(cap_event(told.world)) == 0

    assert [alert.threshold for alert in await told.alerts()] == ["500"]


async def test_every_channel_of_the_rule_gets_a_message(told: Alerted) -> None:
    hook, gone = await told.channel(), "ach_gone"
    await change(told, "credits", channels=[hook, "owners"])
    async with told.world.database.writing() as session:
        row = (await repository.rules(session, told.world.org_id))["credits"]
        row.channels = (*row.channels, gone)

    await told.take(wallet_event(told.world))

    assert {message.channel_id for message in await told.deliveries()} == {hook, "owners"}


async def test_old_news_is_written_down_and_sent_to_nobody(told: Alerted) -> None:
    event = wallet_event(told.world)
    told.world.clock.at_ms += (told.settings.max_age_s + 1) * 1_000

    assert await told.take(event) == 1

    [message] = await told.deliveries()
    assert (message.status, "too old" in message.error) == ("skipped", True)
    assert await told.deliverer().turn() == 0


async def test_what_cannot_be_read_or_belongs_to_nobody_stops_nothing(told: Alerted) -> None:
    stranger = wallet_event(told.world, org_id="org_unknown")
    foreign = wallet_event(told.world, tenant_id="tenant_other")
    values = [
        b"",
        b"{",
        None,
        b'{"v":9}',
        encode(stranger),
        encode(foreign),
        encode(wallet_event(told.world)),
    ]

    intake = Intake(KafkaSettings(), GROUP, {topics.LIMITS: told.intake().take}, Metrics())
    await intake.take(topics.LIMITS.name, values)

    assert len(await told.alerts()) == 1


async def test_a_missing_payment_is_told_once_each_time(shop: Shop, place: Place, world: World) -> None:
    order = await shop.order()
    await shop.tell_all([shop.paid(order)])
    async with alerted(place, world) as told:
        for _ in range(3):
            world.clock.at_ms += 40 * DAY_MS
            await shop.settle()
        kinds = [(alert.kind, alert.threshold) for alert in await told.alerts()]

        assert kinds == [("payment", "past_due"), ("payment", "paused")]
        assert len({alert.period for alert in await told.alerts()}) == 1
