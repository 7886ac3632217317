"""One run in full: over real stores, written as the workers write them."""

from __future__ import annotations

import aiohttp
from clickhouse_connect.driver.asyncclient import AsyncClient
from console_world import World
from metered_world import BOOK, CHEAP, Told

from metering.totals import CHARGED


async def ask(
    http: aiohttp.ClientSession, base_url: str, world: World, run_id: str, expect: int = 200
) -> dict:
    url = f"{base_url}/api/v1/instances/{world.instance_id}/runs/{run_id}/inspection"
    async with http.get(url, headers=world.headers) as answer:
        assert answer.status == expect, await answer.text()
        return await answer.json()


def adds_up(found: dict) -> bool:
    bill = found["bill"]
    parts = sum(one["amount_micro"] for one in [*bill["items"], *bill["corrections"]])
    return bill["exact"] and parts == bill["total_micro"] == bill["charged_micro"]


async def test_a_run_is_told_call_by_call_and_its_price_adds_up(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    told = Told(world)
    charged = (await told.charge()).totals[CHARGED]
    await told.store(clickhouse)

    found = await ask(http, base_url, world, told.run_id)

    assert (found["arriving"], found["truncated"]) == (False, False)
    first, second = found["calls"]
    assert (first["call_id"], first["step"], first["model"]) == (f"{told.run_id}-1", 1, "gpt-4o-mini")
    assert (first["tokens_in"], first["cache_read"], first["tokens_out"], first["reasoning"]) == (
        150,
        30,
        41,
        7,
    )
    assert (first["source"], first["final"], first["reports"]) == ("provider", True, 2)
    assert (first["first_at_ms"], first["last_at_ms"]) == (
        told.started_at_ms + 400,
        told.started_at_ms + 900,
    )
    assert (second["step"], second["source"]) == (2, "estimate")
    (tool,) = found["tool_calls"]
    assert (tool["tool"], tool["duration_ms"], tool["status"]) == ("calculator", 35, "ok")
    assert tool["ended_at_ms"] == told.started_at_ms + 1_000

    assert adds_up(found)
    bill = found["bill"]
    assert (bill["charged_micro"], bill["price_version"]) == (charged, BOOK.version)
    items = [(i["component"], i["quantity"], i["rate_micro"], i["amount_micro"]) for i in bill["items"]]
    assert items == [
        ("input", 120, 15_000_000, 1_800),
        ("cache_read", 30, 7_500_000, 225),
        ("output", 34, 60_000_000, 2_040),
        ("reasoning", 7, 60_000_000, 420),
        ("input", 211, 15_000_000, 3_165),
        ("output", 87, 60_000_000, 5_220),
        ("tool_call", 1, 500, 500),
        ("run_fee", 1, 1_000, 1_000),
    ]
    (entry,) = found["ledger"]
    assert (entry["kind"], entry["amount_micro"], entry["topic"]) == ("usage", -charged, "credits.ledger")


async def test_every_event_has_its_place_on_kafka(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    told = Told(world)
    await told.charge()
    # The last one came twice: its producer did not hear that it was taken.
    await told.store(clickhouse, [*told.events, told.events[-1]])

    found = await ask(http, base_url, world, told.run_id)

    events = found["events"]
    assert [(e["kind"], e["detail"], e["offset"]) for e in events] == [
        ("run", "started", 100),
        ("tokens", "1", 101),
        ("tokens", "final", 102),
        ("tool_call", "ok", 103),
        ("tokens", "final", 104),
        ("run", "completed", 105),
        ("run", "completed", 106),
    ]
    assert {e["topic"] for e in events} == {"usage.runs", "usage.tokens", "usage.tool_calls"}
    assert {e["partition"] for e in events} == {world.partition}
    assert events[1]["occurred_at_ms"] == told.started_at_ms + 400
    assert all(e["recorded_at_ms"] > told.started_at_ms for e in events)
    assert adds_up(found)


async def test_corrections_are_lines_of_their_own(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    told = Told(world)
    before = (await told.charge()).totals[CHARGED]
    told.events += [
        told.correct(
            "req_1",
            "amend",
            60_000,
            call_id=f"{told.run_id}-2",
            input_uncached=200,
            output=40,
            reason="counted anew",
        ),
        told.correct("req_2", "rerate", 70_000, new_price_version=CHEAP.version, reason="goodwill"),
    ]
    charged = (await told.charge()).totals[CHARGED]
    await told.store(clickhouse)

    found = await ask(http, base_url, world, told.run_id)

    assert adds_up(found)
    bill = found["bill"]
    assert sum(item["amount_micro"] for item in bill["items"]) == before
    assert [(c["request_id"], c["kind"], c["amount_micro"], c["reason"]) for c in bill["corrections"]] == [
        ("req_1", "amend", -(165 + 2_820), "counted anew"),
        ("req_2", "rerate", -1_500, "goodwill"),
    ]
    assert charged == before - 165 - 2_820 - 1_500
    assert {entry["entry_id"] for entry in found["ledger"]} == {
        told.run_id,
        f"{told.run_id}/req_1",
        f"{told.run_id}/req_2",
    }
    assert sum(entry["amount_micro"] for entry in found["ledger"]) == -charged


async def test_a_run_that_metering_forgot_is_folded_from_history(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    told = Told(world)
    told.events.append(told.correct("req_1", "amend", 60_000, input_uncached=10, output=1))
    await told.charge()
    await told.store(clickhouse)
    kept = await ask(http, base_url, world, told.run_id)

    await told.forget()

    folded = await ask(http, base_url, world, told.run_id)
    assert adds_up(folded)
    assert folded == kept


async def test_a_run_that_just_ended_is_told_before_history_has_it(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    told = Told(world)
    charged = (await told.charge()).totals[CHARGED]

    found = await ask(http, base_url, world, told.run_id)

    assert found["arriving"]
    assert (found["run"]["status"], found["run"]["credits_micro"]) == ("completed", charged)
    assert found["calls"][0]["last_at_ms"] is None
    assert (found["ledger"], found["events"]) == ([], [])
    assert adds_up(found)

    await told.store(clickhouse, told.events[:3])
    assert (await ask(http, base_url, world, told.run_id))["arriving"]
    await told.store(clickhouse)
    assert not (await ask(http, base_url, world, told.run_id))["arriving"]


async def test_a_price_that_cannot_be_explained_is_not_made_up(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    told = Told(world)
    await told.charge()
    await told.store(clickhouse)
    told.events.append(told.correct("req_1", "rerate", 60_000, new_price_version=CHEAP.version))
    await told.charge()
    await world.redis.delete(f"price_book:{CHEAP.version}")

    bill = (await ask(http, base_url, world, told.run_id))["bill"]

    assert (bill["exact"], bill["missing_version"], bill["items"]) == (False, CHEAP.version, [])
    assert bill["charged_micro"] > 0


async def test_another_orgs_run_is_not_found(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    other = await World.create(world.redis, world.tenant_id)
    theirs = Told(other)
    await theirs.charge()
    await theirs.store(clickhouse)

    await ask(http, base_url, world, theirs.run_id, 404)
    # Nor by its id under another instance of one's own.
    mine = Told(world, instance_id=await world.add_instance("Another"))
    await mine.charge()
    await mine.store(clickhouse)
    await ask(http, base_url, world, mine.run_id, 404)
    assert (await ask(http, base_url, other, theirs.run_id))["run"]["run_id"] == theirs.run_id


async def _place(http: aiohttp.ClientSession, base_url: str, world: World, run_id: str) -> str | None:
    async with http.get(f"{base_url}/api/v1/runs/{run_id}", headers=world.headers) as answer:
        assert answer.status in (200, 404), await answer.text()
        return (await answer.json())["instance_id"] if answer.status == 200 else None


async def test_a_run_is_found_in_its_org_by_its_id_alone(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    other = await World.create(world.redis, world.tenant_id)
    instance_id = await world.add_instance("One of many")
    metered, old = Told(world, instance_id=instance_id), Told(world, instance_id=instance_id)
    await metered.charge()
    # Metering has forgotten it.
    await world.store(clickhouse, world.run(run_id=old.run_id, instance_id=instance_id))

    for run_id in (metered.run_id, old.run_id):
        assert await _place(http, base_url, world, run_id) == instance_id
        assert await _place(http, base_url, other, run_id) is None
    assert await _place(http, base_url, world, "run_none") is None


async def test_a_list_is_cut_and_says_so(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    told = Told(world)
    growing = [told.call(3, 2_100 + n, seq=n, output=n) for n in range(1, 520)]
    told.events += growing
    await told.charge()
    await told.store(clickhouse)

    found = await ask(http, base_url, world, told.run_id)

    assert found["truncated"]
    assert len(found["events"]) == 500
    # What it costs depends on the last word on each call, not on how many there were.
    assert adds_up(found)
    assert found["calls"][2]["reports"] == 519
