"""Who may have a source read: an active instance that can pay, within its plan's limits and room."""

from __future__ import annotations

import json
from typing import Any

import embedding_server
import pytest
import web_site
from redis.asyncio import Redis
from worker_rig import Rig

from ingestion.credits import Payable, payable
from kit.clock import new_id, now_ms
from metering.windows import start_of
from schemas import keys, topics
from schemas.directory import InstanceRecord, Limits
from schemas.events import RunEvent
from schemas.partitioning import partition_of

NOW = 1_790_000_000_000


@pytest.mark.parametrize(
    ("wallet", "limits", "expected"),
    [
        ({}, {}, Payable(0, "wallet")),
        ({"balance": 900, "held": 250}, {}, Payable(650, "wallet")),
        ({"balance": 900, "schedule": f"{NOW - 1}:-800;{NOW + 1}:-90"}, {}, Payable(100, "wallet")),
        ({"balance": -50}, {"soft": True, "overage_micro": 80}, Payable(30, "wallet")),
        ({"balance": -50}, {"overage_micro": 80}, Payable(-50, "wallet")),
        ({"balance": 900}, {"daily_cap_micro": 500}, Payable(370, "cap")),
        ({"balance": 900}, {"daily_cap_micro": 800, "monthly_cap_micro": 400}, Payable(170, "cap")),
        ({"balance": 90}, {"daily_cap_micro": 500}, Payable(90, "wallet")),
    ],
)
async def test_what_may_be_spent_is_what_an_admission_would_say(
    redis_url: str, wallet: dict[str, Any], limits: dict[str, Any], expected: Payable
) -> None:
    redis, ids = Redis.from_url(redis_url), {name: new_id(name) for name in ("tenant", "org", "inst")}
    instance = InstanceRecord(
        instance_id=ids["inst"],
        tenant_id=ids["tenant"],
        org_id=ids["org"],
        name="Parrot",
        status="active",
        default_model="m",
        models=("m",),
        limits=Limits(**limits),
    )
    if wallet:
        await redis.hset(keys.wallet(3, ids["org"]), mapping=wallet)
    await redis.hset(keys.held_by_instance(3, ids["org"]), ids["inst"], "30")
    for window, charged in (("day", 100), ("month", 200)):
        key = keys.counter(3, ids["inst"], window, start_of(window, NOW))  # type: ignore[arg-type]
        await redis.hset(key, "charged", str(charged))

    assert await payable(redis, 3, instance, started_at_ms=NOW, now_ms=NOW) == expected
    await redis.aclose()


async def refused(rig: Rig, site: web_site.Site) -> tuple[str, str]:
    source_id = new_id("src")
    await rig.ask(source_id, kind="url", url=site.url())
    failed = await rig.ended(source_id)
    assert (failed.status, site.asked) == ("failed", [])
    return failed.error_code, failed.error


async def test_who_is_suspended_or_cannot_pay_is_refused_before_anything_is_fetched(rig: Rig) -> None:
    async with web_site.running() as site:
        site.add("/", "Parrots " * 50)
        await rig.projected()
        await rig.start()

        await rig.owner("suspended")
        assert (await refused(rig, site))[0] == "instance_inactive"
        await rig.owner("ended")
        assert (await refused(rig, site))[0] == "instance_inactive"
        await rig.owner()
        await rig.wallet(balance=0)
        code, text = await refused(rig, site)
        assert (code, "top up" in text) == ("no_credits", True)
        await rig.wallet(balance=1_000_000, held=1_000_000)
        assert (await refused(rig, site))[0] == "no_credits"
        await rig.wallet(balance=1_000_000)
        await rig.owner(daily_cap_micro=1)
        await spent(rig, 1)
        code, text = await refused(rig, site)
        assert (code, "cap" in text) == ("no_credits", True)

        # A soft plan goes on to the ceiling of its debt.
        await rig.owner(soft=True, overage_micro=1_000_000)
        await rig.wallet(balance=-10)
        source_id = new_id("src")
        await rig.ask(source_id, kind="url", url=site.url())
        assert (await rig.ended(source_id)).status == "ready"


async def spent(rig: Rig, micro: int) -> None:
    partition = partition_of(rig.org_id, rig.kafka.partitions)
    redis = Redis.from_url(rig.redis_url)
    key = keys.counter(partition, rig.instance_id, "day", start_of("day", now_ms()))
    await redis.hset(key, "charged", str(micro))
    await redis.aclose()


async def test_what_was_parsed_and_cannot_be_paid_is_not_embedded(rig: Rig) -> None:
    def pairs(count: int) -> bytes:
        return json.dumps([{"question": f"Q{n}?", "answer": "Word. " * 600} for n in range(count)]).encode()

    source_id = new_id("src")
    async with embedding_server.running() as server:
        rig.settings |= {
            "RUNMETER_EMBEDDING_BASE_URL": server.url,
            "RUNMETER_EMBEDDING_MODEL": embedding_server.MODEL,
        }
        await rig.start()
        await rig.ask(source_id, kind="qa", blob=await rig.blob(source_id, pairs(2)))
        assert (await rig.ended(source_id)).status == "ready"
        [_, completed] = await rig.said(topics.RUNS, RunEvent)
        asked = len(server.asked)
        await rig.wallet(balance=60 * completed.credits_micro)

        await rig.ask(source_id, 2, kind="qa", blob=await rig.blob(source_id, pairs(400)))
        failed = await rig.ended(source_id, 2)

        assert failed.error_code == "no_credits"
        assert len(server.asked) == asked
        assert len(await rig.said(topics.RUNS, RunEvent)) == 2
        assert await rig.count(source_id) == 2  # what was known before stays

        # What is known already costs nothing, and is not counted.
        await rig.wallet(balance=completed.credits_micro)
        await rig.ask(source_id, 3, kind="qa", blob=await rig.blob(source_id, pairs(2)))
        assert (await rig.ended(source_id, 3)).status == "ready"


async def test_what_is_fetched_is_told_and_kept_within_the_room_that_is_left(rig: Rig) -> None:
    page = "<p>Parrots repeat what they hear, and forget nothing.</p>" * 10
    site_id, cut, large = new_id("src"), new_id("src"), new_id("src")
    async with web_site.running() as site:
        site.add("/", f"{page}<a href='/a'>a</a>")
        site.add("/a", page)
        await rig.start()
        whole = sum(len(body) for _, body in site.pages.values() if isinstance(body, bytes))
        wanted: dict[str, Any] = {"kind": "site", "url": site.url(), "max_pages": 9, "max_depth": 1}

        await rig.ask(site_id, **wanted, max_bytes=whole)
        await rig.ask(cut, **wanted, max_bytes=whole - 1)
        await rig.ask(large, kind="url", url=site.url("/a"), max_bytes=len(page) - 1)

        ready, part, failed = [await rig.ended(source_id) for source_id in (site_id, cut, large)]

    assert (ready.status, ready.bytes, ready.page_errors) == ("ready", whole, [])
    assert (part.status, part.bytes, len(part.page_errors)) == ("ready", whole - len(page), 1)
    assert (failed.error_code, failed.bytes) == ("no_room", 0)
