"""Usage over time and runs, from real rows in several versions."""

from __future__ import annotations

import io
from datetime import datetime
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import aiohttp
import pyarrow.parquet as parquet
import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from console_world import World

from console_api.usage.models import Usage
from kit.clock import now_ms

HOUR_MS = 3_600_000
#: 2026-01-31 09:00 UTC
BASE_MS = 1_769_850_000_000


async def ask(
    http: aiohttp.ClientSession, base_url: str, world: World, path: str, expect: int = 200, **query: object
) -> dict:
    url = f"{base_url}/api/v1/instances/{world.instance_id}{path}?{urlencode(query)}"
    async with http.get(url, headers=world.headers) as answer:
        assert answer.status == expect, await answer.text()
        return await answer.json()


async def test_only_the_last_version_of_a_run_counts(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    run_id = "run_versions"
    first = world.run(
        run_id=run_id, version=1, status="started", started_at_ms=BASE_MS, tokens_in=10, charged_micro=1
    )
    last = world.run(
        run_id=run_id, version=9, started_at_ms=BASE_MS, tokens_in=100, charged_micro=250_000, duration_ms=800
    )
    await world.store(clickhouse, last)
    await world.store(clickhouse, first)

    usage = await ask(http, base_url, world, "/usage", **{"from": BASE_MS, "to": BASE_MS + 3 * HOUR_MS})

    # The answer has exactly the shape that the contract publishes.
    assert Usage.model_validate(usage, extra="forbid").model_dump() == usage
    totals = usage["totals"]
    assert (totals["started"], totals["runs"], totals["completed"]) == (1, 1, 1)
    assert (totals["tokens_in"], totals["credits"], totals["credits_micro"]) == (100, "0.250000", 250_000)
    assert totals["duration_p95_ms"] == 800
    (series,) = usage["series"]
    assert [point["tokens_in"] for point in series["points"]] == [100, 0, 0]
    assert series["points"][0]["start"] == "2026-01-31T09:00:00.000Z"
    assert now_ms() - usage["freshness"]["recorded_at_ms"] < 60_000


async def test_groups_and_their_series_add_up_to_the_totals(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    runs = [
        world.run(
            started_at_ms=BASE_MS + number * HOUR_MS, model=f"model-{number:02}", charged_micro=number + 1
        )
        for number in range(12)
    ]
    await world.store(clickhouse, *runs)
    span = {"from": BASE_MS, "to": BASE_MS + 12 * HOUR_MS}

    usage = await ask(http, base_url, world, "/usage", **span, group_by="model")

    keys = [group["key"] for group in usage["groups"]]
    assert keys == [f"model-{number:02}" for number in range(11, 1, -1)] + ["other"]
    assert usage["groups"][-1]["totals"]["credits_micro"] == 1 + 2
    assert sum(group["totals"]["credits_micro"] for group in usage["groups"]) == 78
    assert usage["totals"]["credits_micro"] == 78
    assert [series["group"] for series in usage["series"]] == keys
    assert all(len(series["points"]) == 12 for series in usage["series"])
    assert sum(p["credits_micro"] for series in usage["series"] for p in series["points"]) == 78


@pytest.mark.parametrize("group_by", ["channel", "status", "key_id"])
async def test_every_grouping(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient, group_by: str
) -> None:
    await world.store(
        clickhouse, world.run(started_at_ms=BASE_MS), world.run(started_at_ms=BASE_MS, key_id="")
    )
    span = {"from": BASE_MS, "to": BASE_MS + HOUR_MS}
    usage = await ask(http, base_url, world, "/usage", **span, group_by=group_by)
    keys = {group["key"] for group in usage["groups"]}
    assert keys == {"channel": {"api"}, "status": {"completed"}, "key_id": {"key_1", ""}}[group_by]


async def test_days_begin_where_the_reader_lives(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    # The clocks went forward on 2026-03-29: that day has 23 hours.
    late = int(datetime(2026, 3, 29, 23, 30, tzinfo=berlin).timestamp() * 1000)
    await world.store(clickhouse, world.run(started_at_ms=late))

    usage = await ask(
        http,
        base_url,
        world,
        "/usage",
        **{"from": "2026-03-28T00:00:00", "to": "2026-03-31T00:00:00", "tz": "Europe/Berlin"},
        window="day",
    )

    points = usage["series"][0]["points"]
    assert [point["start"] for point in points] == [
        "2026-03-27T23:00:00.000Z",
        "2026-03-28T23:00:00.000Z",
        "2026-03-29T22:00:00.000Z",
    ]
    assert [point["runs"] for point in points] == [0, 1, 0]


async def test_half_hour_zones_keep_every_run(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    await world.store(clickhouse, world.run(started_at_ms=BASE_MS + 10 * 60_000))
    span = {"from": BASE_MS, "to": BASE_MS + HOUR_MS, "tz": "Asia/Kolkata"}
    usage = await ask(http, base_url, world, "/usage", **span, window="hour")
    points = usage["series"][0]["points"]
    assert [point["runs"] for point in points] == [1, 0]
    assert points[0]["start_ms"] == BASE_MS - HOUR_MS // 2


async def test_nothing_recorded_is_zero_and_not_an_error(
    http: aiohttp.ClientSession, base_url: str, world: World
) -> None:
    usage = await ask(http, base_url, world, "/usage")
    assert usage["totals"]["runs"] == 0
    assert usage["totals"]["duration_p99_ms"] == 0
    assert len(usage["series"][0]["points"]) in (24, 25)
    assert usage["freshness"] == {"recorded_at_ms": None, "recorded_at": None}


@pytest.mark.parametrize("window", ["minute", "hour", "day"])
@pytest.mark.parametrize("group_by", ["none", "model"])
async def test_a_range_that_goes_on_holds_the_newest_runs_and_none_before_it(
    http: aiohttp.ClientSession,
    base_url: str,
    world: World,
    clickhouse: AsyncClient,
    window: str,
    group_by: str,
) -> None:
    # In the middle of a minute, an hour and a day, wherever the clock stands.
    start_ms = now_ms() - 26 * HOUR_MS
    before, first, last = (world.run(started_at_ms=at) for at in (start_ms - 1, start_ms, now_ms()))
    await world.store(clickhouse, before, first, last)

    usage = await ask(http, base_url, world, "/usage", **{"from": start_ms}, window=window, group_by=group_by)
    ended = await ask(
        http, base_url, world, "/usage", **{"from": start_ms, "to": start_ms + 25 * HOUR_MS}, window=window
    )

    assert usage["totals"]["runs"] == 2
    assert [sum(p["runs"] for p in series["points"]) for series in usage["series"]] == [2]
    assert ended["totals"]["runs"] == 1
    assert now_ms() - usage["freshness"]["recorded_at_ms"] < 60_000


@pytest.mark.parametrize(
    ("query", "remedy"),
    [
        ({"from": "yesterday"}, "ISO-8601"),
        ({"from": "2026-01-31T09:00:00 01:00"}, "%2B"),
        ({"from": 2_000, "to": 1_000}, "before"),
        ({"from": 0, "to": 3_000 * 60_000, "window": "minute"}, "window=hour"),
        ({"from": 10**15}, "1970"),
        ({"tz": "Mars/Olympus"}, "IANA"),
        ({"window": "fortnight"}, "minute"),
        ({"group_by": "mood"}, "model"),
    ],
)
async def test_a_question_that_cannot_be_answered_says_what_to_ask(
    http: aiohttp.ClientSession, base_url: str, world: World, query: dict[str, object], remedy: str
) -> None:
    problem = await ask(http, base_url, world, "/usage", 422, **query)
    assert problem["code"] == "invalid_request"
    assert remedy in problem["detail"]


async def test_runs_newest_first_across_pages_with_equal_starts(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    ages = [0, 0, 0, 2 * HOUR_MS, 50 * HOUR_MS]
    now = now_ms()
    runs = [world.run(run_id=f"run_{n}", started_at_ms=now - age) for n, age in enumerate(ages)]
    await world.store(clickhouse, *runs)

    seen: list[str] = []
    query: dict[str, object] = {"limit": 2}
    while True:
        page = await ask(http, base_url, world, "/runs", **query)
        seen += [run["run_id"] for run in page["runs"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]

    assert seen == ["run_2", "run_1", "run_0", "run_3", "run_4"]


async def test_runs_by_status_model_and_channel(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    await world.store(
        clickhouse,
        world.run(run_id="run_ok"),
        world.run(run_id="run_bad", status="failed", error_code="model_error"),
        world.run(run_id="run_other", model="gpt-4o"),
        world.run(run_id="run_page", channel="widget"),
    )
    failed = await ask(http, base_url, world, "/runs", status="failed")
    assert [run["run_id"] for run in failed["runs"]] == ["run_bad"]
    other = await ask(http, base_url, world, "/runs", model="gpt-4o")
    assert [run["run_id"] for run in other["runs"]] == ["run_other"]
    page = await ask(http, base_url, world, "/runs", channel="widget")
    assert [run["run_id"] for run in page["runs"]] == ["run_page"]
    await ask(http, base_url, world, "/runs", 422, status="mysterious")
    await ask(http, base_url, world, "/runs", 422, channel="by-pigeon")
    await ask(http, base_url, world, "/runs", 422, cursor="garbage")


async def test_one_run(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    await world.store(clickhouse, world.run(run_id="run_open", status="started", closed_at_ms=0))
    run = await ask(http, base_url, world, "/runs/run_open")
    assert run["closed_at_ms"] is None
    assert run["credits"] == "0.250000"
    missing = await ask(http, base_url, world, "/runs/run_none", 404)
    assert missing["code"] == "not_found"


async def test_a_series_as_parquet_holds_what_the_answer_holds(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    await world.store(
        clickhouse,
        world.run(started_at_ms=BASE_MS, model="gpt-4o", duration_ms=700),
        world.run(started_at_ms=BASE_MS + 2 * HOUR_MS, charged_micro=3),
        world.run(started_at_ms=BASE_MS + 2 * HOUR_MS, charged_micro=4),
    )
    span = {"from": BASE_MS, "to": BASE_MS + 3 * HOUR_MS, "group_by": "model"}
    usage = await ask(http, base_url, world, "/usage", **span)
    url = f"{base_url}/api/v1/instances/{world.instance_id}/usage?{urlencode({**span, 'format': 'parquet'})}"

    async with http.get(url, headers=world.headers) as answer:
        assert answer.status == 200
        assert answer.content_type == "application/vnd.apache.parquet"
        rows = parquet.read_table(io.BytesIO(await answer.read())).to_pylist()

    at = {int(row["window_start"].timestamp() * 1000): row for row in rows}
    assert [(row["group"], row["runs"]) for row in at.values()] == [("gpt-4o", 1), ("gpt-4o-mini", 2)]
    for series in usage["series"]:
        for point in series["points"]:
            if point["started"]:
                row = at[point["start_ms"]]
                same = ("runs", "completed", "tokens_in", "tool_calls", "credits_micro", "duration_p95_ms")
                assert {name: row[name] for name in same} == {name: point[name] for name in same}


async def test_a_file_of_too_many_buckets_is_refused(
    http: aiohttp.ClientSession, base_url: str, world: World
) -> None:
    query = {"from": 0, "to": 3_000 * 60_000, "window": "minute", "format": "parquet"}
    assert "window=hour" in (await ask(http, base_url, world, "/usage", 422, **query))["detail"]
