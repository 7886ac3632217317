"""The delivery log: each delivery once, early ones again, faults kept for operators."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import stripe_server
import webhook_rig
from control_places import Place
from control_world import World
from pydantic import SecretStr
from redis.asyncio import Redis
from stripe_server import KEY, SECRET, StripeServer, Thing, signed
from webhook_rig import Rig

from console_api.payments.port import Fact, OrderAbandoned, OrderPaid, Outcome
from console_api.payments.webhooks.pace import Pace, TooFast
from kit.settings import StripeSettings, WebhookSettings
from schemas.directory import Role

DAY_MS = 86_400_000


@pytest_asyncio.fixture
async def stripe() -> AsyncIterator[StripeServer]:
    async with stripe_server.running() as server:
        yield server


@pytest.fixture
def settings(stripe: StripeServer, world: World) -> StripeSettings:
    return StripeSettings(
        api_key=SecretStr(KEY),
        tenant_id=world.tenant_id,
        webhook_secrets=SecretStr(SECRET),
        api_base=stripe.url,
        timeout_ms=30_000,
        max_retries=0,
    )


@pytest_asyncio.fixture
async def rig(
    place: Place, redis_url: str, redis: Redis, world: World, settings: StripeSettings
) -> AsyncIterator[Rig]:
    webhooks = WebhookSettings(retell_every_s=1, early_for_s=3_600, max_per_minute=100_000)
    async with webhook_rig.running(
        place, redis_url, redis, world, stripe=settings, webhooks=webhooks
    ) as made:
        yield made


def session(stripe: StripeServer, order_id: str, status: str = "paid") -> Thing:
    return stripe.add(
        "checkout.session",
        "cs_test",
        mode="payment",
        payment_status=status,
        metadata={"order_id": order_id},
        currency="usd",
        amount_total=100,
        customer=None,
        subscription=None,
        payment_intent=f"pi_{order_id}",
    )


def paid(stripe: StripeServer, order_id: str = "order_1") -> Thing:
    return stripe.event("checkout.session.completed", session(stripe, order_id))


def expired(stripe: StripeServer, order_id: str = "order_1") -> Thing:
    return stripe.event("checkout.session.expired", session(stripe, order_id, "unpaid"))


def early_without(known: set[str]) -> Any:
    """Return orders that know only some, and learn one by its payment."""

    def judge(fact: Fact) -> Outcome:
        if isinstance(fact, OrderPaid):
            known.add(fact.order_id)
        return "applied" if fact.order_id in known else "early"  # type: ignore[union-attr]

    return judge


async def test_a_hundred_repeats_at_once_are_one(rig: Rig, stripe: StripeServer) -> None:
    body, headers = signed(paid(stripe))

    answers = await webhook_rig.all_at_once(*(rig.post("stripe", body, headers) for _ in range(100)))

    # A database that is too busy says so, and is sent it again.
    assert {answer.status for answer in answers} <= {200, 503}
    assert (await rig.post("stripe", body, headers)).body == {"status": "applied"}
    assert len(await rig.booked(OrderPaid)) == 1
    assert [row.status for row in await rig.deliveries()] == ["applied"]


async def test_an_early_delivery_is_told_again_after_a_later_one(rig: Rig, stripe: StripeServer) -> None:
    rig.books.judge = early_without(set())
    early, later = expired(stripe), paid(stripe)

    assert (await rig.post("stripe", *signed(early))).body == {"status": "received"}
    (row,) = await rig.deliveries()
    assert (row.status, row.applied_at_ms) == ("received", 0)
    assert "not known yet" in row.error
    assert (await rig.post("stripe", *signed(later))).body == {"status": "applied"}

    row = await rig.becomes(early["id"], "applied")
    assert (row.error, row.applied_at_ms) == ("", rig.world.clock())
    assert (await rig.post("stripe", *signed(early))).body == {"status": "applied"}


async def test_an_early_delivery_is_told_again_by_and_by(rig: Rig, stripe: StripeServer) -> None:
    known: set[str] = set()
    rig.books.judge = early_without(known)
    early = expired(stripe)
    await rig.post("stripe", *signed(early))

    known.add("order_1")

    await rig.becomes(early["id"], "applied")


async def test_a_delivery_that_stays_early_is_given_up(rig: Rig, stripe: StripeServer) -> None:
    rig.books.judge = lambda fact: "early"
    early = expired(stripe)
    await rig.post("stripe", *signed(early))

    rig.world.clock.at_ms += 3_601_000

    row = await rig.becomes(early["id"], "failed")
    assert row.error == "given up after 3601 s: what it is about is not known yet"
    rig.books.judge = lambda fact: "applied"
    assert (await rig.post("stripe", *signed(early))).body == {"status": "applied"}


async def test_many_early_ones_do_not_keep_each_other_waiting(rig: Rig, stripe: StripeServer) -> None:
    known: set[str] = set()
    rig.books.judge = early_without(known)
    events = [expired(stripe, f"order_{number}") for number in range(130)]
    for event in events:
        await rig.post("stripe", *signed(event))

    known.add("order_129")

    await rig.becomes(events[129]["id"], "applied")
    assert len(await rig.deliveries(status="received")) == 129


async def test_a_fault_keeps_the_delivery_and_nothing_else(
    rig: Rig, stripe: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    def fault(fact: Fact) -> Outcome:
        raise RuntimeError("a fault of ours")

    rig.books.judge = fault
    event = paid(stripe)

    answer = await rig.post("stripe", *signed(event))

    assert (answer.status, answer.body["code"]) == (500, "delivery_failed")
    assert "a fault of ours" not in str(answer.body)
    (row,) = await rig.deliveries()
    assert (row.status, row.error) == ("failed", "RuntimeError: a fault of ours")
    assert await rig.all_booked() == []
    rig.books.judge = lambda fact: "applied"
    assert (await rig.post("stripe", *signed(event))).body == {"status": "applied"}
    assert len(await rig.booked(OrderPaid)) == 1
    assert (await rig.deliveries())[0].error == ""


async def test_a_fault_while_telling_again_is_kept_too(rig: Rig, stripe: StripeServer) -> None:
    rig.books.judge = lambda fact: "early"
    event = paid(stripe)
    await rig.post("stripe", *signed(event))

    def fault(fact: Fact) -> Outcome:
        raise RuntimeError("a fault of ours")

    rig.books.judge = fault

    assert (await rig.becomes(event["id"], "failed")).error == "RuntimeError: a fault of ours"


async def test_operators_see_the_log_and_replay(rig: Rig, stripe: StripeServer) -> None:
    def fault(fact: Fact) -> Outcome:
        raise RuntimeError("a fault of ours")

    await rig.post("stripe", *signed(paid(stripe, "order_1")))
    rig.books.judge = fault
    rig.world.clock.at_ms += 1
    failed = paid(stripe, "order_2")
    await rig.post("stripe", *signed(failed))
    rig.books.judge = lambda fact: "applied"

    listed = (await rig.api("GET", "/webhooks/deliveries?status=failed", role="operator")).body
    assert [(row["event_id"], row["error"]) for row in listed["deliveries"]] == [
        (failed["id"], "RuntimeError: a fault of ours")
    ]
    assert "payload" not in listed["deliveries"][0]
    where = f"/webhooks/deliveries/stripe/{failed['id']}:replay"
    for _ in range(2):
        replayed = await rig.api("POST", where, role="operator")
        assert (replayed.status, replayed.body["status"], replayed.body["error"]) == (200, "applied", "")
    entries = await rig.world.audited(f"stripe/{failed['id']}")
    assert [entry.actor for entry in entries] == ["operator@example.com"] * 2


async def test_the_log_comes_in_pages(rig: Rig, stripe: StripeServer) -> None:
    for number in range(5):
        rig.world.clock.at_ms += number % 2
        await rig.post("stripe", *signed(paid(stripe, f"order_{number}")))
    pages, cursor = [], ""
    while True:
        page = (await rig.api("GET", f"/webhooks/deliveries?limit=2{cursor}", role="operator")).body
        pages.append([row["event_id"] for row in page["deliveries"]])
        if not page["next_cursor"]:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert [len(page) for page in pages] == [2, 2, 1]
    assert len({event_id for page in pages for event_id in page}) == 5
    received = [row.received_at_ms for row in await rig.deliveries()]
    assert received == sorted(received)


@pytest.mark.parametrize("role", ["owner", "admin", "member", "viewer"])
async def test_the_log_is_the_operators_business(rig: Rig, stripe: StripeServer, role: Role) -> None:
    event = paid(stripe)
    await rig.post("stripe", *signed(event))

    for method, path in (("GET", ""), ("POST", f"/stripe/{event['id']}:replay")):
        answer = await rig.api(method, f"/webhooks/deliveries{path}", role=role)
        assert (answer.status, answer.body["code"]) == (403, "forbidden")


async def test_another_tenants_operators_see_nothing_of_it(rig: Rig, stripe: StripeServer) -> None:
    event = paid(stripe)
    await rig.post("stripe", *signed(event))
    stranger = await rig.api.headers("operator", org_id="", tenant_id="another")

    listed = await rig.api("GET", "/webhooks/deliveries", headers=stranger)
    assert (listed.status, listed.body["deliveries"]) == (200, [])
    replayed = await rig.api("POST", f"/webhooks/deliveries/stripe/{event['id']}:replay", headers=stranger)
    assert (replayed.status, replayed.body["code"]) == (404, "not_found")


async def test_what_cannot_be_replayed_is_said(rig: Rig, stripe: StripeServer) -> None:
    for path in ("stripe/evt_none", "saleor/x"):
        answer = await rig.api("POST", f"/webhooks/deliveries/{path}:replay", role="operator")
        assert (answer.status, answer.body["code"]) == (404, "not_found")
    for path in ("saleor", "nobody"):
        assert (await rig.post(path, b"{}", {})).status in (404, 405)


async def test_a_body_may_be_large_but_not_huge(rig: Rig, stripe: StripeServer) -> None:
    event = paid(stripe)
    event["data"]["object"]["note"] = "x" * 200_000
    assert (await rig.post("stripe", *signed(event))).status == 200
    event["data"]["object"]["note"] = "x" * 262_144
    body, headers = signed(event)
    answer = await rig.post("stripe", body, headers)
    assert (answer.status, answer.body["limit_bytes"]) == (413, 262_144)

    async def in_pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 50_000):
            yield body[start : start + 50_000]

    url = f"{rig.api.url}/api/v1/webhooks/stripe"
    async with rig.api.http.post(url, data=in_pieces(), headers=headers) as chunked:
        assert chunked.status == 413
    elsewhere = await rig.api("POST", "/runs", {"x": "x" * 100_000})
    assert (elsewhere.status, elsewhere.body["limit_bytes"]) == (413, 65_536)


async def test_old_payloads_are_forgotten(
    place: Place, redis_url: str, redis: Redis, world: World, settings: StripeSettings, stripe: StripeServer
) -> None:
    webhooks = WebhookSettings(retell_every_s=1, keep_payloads_days=30, early_for_s=90 * 86_400)
    running = webhook_rig.running(place, redis_url, redis, world, stripe=settings, webhooks=webhooks)
    async with running as rig:
        done, waits = paid(stripe, "order_1"), expired(stripe, "order_2")
        rig.books.judge = lambda fact: "early" if isinstance(fact, OrderAbandoned) else "applied"
        for event in (done, waits):
            await rig.post("stripe", *signed(event))
        world.clock.at_ms += 31 * DAY_MS

        async def forgotten() -> bool:
            return (await rig.deliveries(event_id=done["id"]))[0].payload == ""

        await webhook_rig.eventually(forgotten, "an old payload is forgotten")
        assert (await rig.deliveries(event_id=waits["id"]))[0].payload != ""
        where = f"/webhooks/deliveries/stripe/{done['id']}:replay"
        answer = await rig.api("POST", where, role="operator")
        assert (answer.status, answer.body["code"]) == (409, "conflict")
        assert (await rig.post("stripe", *signed(done))).body == {"status": "applied"}


async def test_only_what_is_signed_counts_against_the_pace(
    place: Place, redis_url: str, redis: Redis, world: World, settings: StripeSettings, stripe: StripeServer
) -> None:
    running = webhook_rig.running(
        place, redis_url, redis, world, stripe=settings, webhooks=WebhookSettings(max_per_minute=3)
    )
    async with running as rig:
        for _ in range(5):
            assert (await rig.post("stripe", *signed(paid(stripe), "whsec_other"))).status == 400
        events = [paid(stripe, f"order_{number}") for number in range(4)]
        answers = [await rig.post("stripe", *signed(event)) for event in events]
        assert [answer.status for answer in answers] == [200, 200, 200, 503]
        assert answers[3].body["code"] == "rate_limited"
        world.clock.at_ms += 20_000
        assert (await rig.post("stripe", *signed(events[3]))).status == 200


def test_a_pace_refills_evenly() -> None:
    now = [0]
    pace = Pace(60, lambda: now[0])
    for _ in range(60):
        pace.take("stripe")
    pace.take("saleor")
    for moment in range(0, 1_000, 10):
        now[0] = moment
        with pytest.raises(TooFast):
            pace.take("stripe")
    now[0] = 1_000
    pace.take("stripe")
    with pytest.raises(TooFast):
        pace.take("stripe")


async def test_two_processes_take_the_same_delivery_once(
    place: Place, redis_url: str, redis: Redis, world: World, settings: StripeSettings, stripe: StripeServer
) -> None:
    one = webhook_rig.running(place, redis_url, redis, world, stripe=settings)
    other = webhook_rig.running(place, redis_url, redis, world, stripe=settings)
    async with one as first, other as second:
        bodies = [signed(paid(stripe, f"order_{number}")) for number in range(10)]
        await asyncio.gather(*(rig.post("stripe", *body) for body in bodies for rig in (first, second)))
        for body in bodies:
            assert (await first.post("stripe", *body)).body == {"status": "applied"}

        orders = [fact.order_id for fact in await first.booked(OrderPaid)]
        assert sorted(orders) == [f"order_{number}" for number in range(10)]
