"""Meters, asked over real rows in several versions."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import aiohttp
import pyarrow.ipc
import pyarrow.parquet
import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from console_world import World

from console_api.meters.models import MeterAnswer

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
#: 2026-01-31 09:00 UTC, a Saturday
BASE_MS = 1_769_850_000_000
SPAN = [("from", BASE_MS), ("to", BASE_MS + 12 * HOUR_MS)]
Query = list[tuple[str, object]]


class Meters:
    """The API as one world sees it."""

    def __init__(self, http: aiohttp.ClientSession, base_url: str, world: World) -> None:
        self.http, self.base_url, self.world = http, base_url, world

    async def raw(self, path: str, query: Query, **headers: str) -> tuple[int, str, bytes]:
        url = f"{self.base_url}/api/v1/meters{path}?{urlencode(query)}"
        async with self.http.get(url, headers={**self.world.headers, **headers}) as answer:
            return answer.status, answer.content_type, await answer.read()

    async def ask(self, slug: str, query: Query, expect: int = 200) -> dict[str, Any]:
        url = f"{self.base_url}/api/v1/meters/{slug}/query?{urlencode(query)}"
        async with self.http.get(url, headers=self.world.headers) as answer:
            assert answer.status == expect, await answer.text()
            body = await answer.json(content_type=None)
        if expect == 200:
            # The answer has exactly the shape that the contract publishes.
            assert MeterAnswer.model_validate(body, extra="forbid").model_dump(by_alias=True) == body
        return body

    async def values(self, slug: str, query: Query) -> list[Any]:
        return [row["value"] for row in (await self.ask(slug, query))["data"]]


@pytest.fixture
def meters(http: aiohttp.ClientSession, base_url: str, world: World) -> Meters:
    return Meters(http, base_url, world)


async def test_built_in_meters_are_listed_and_described(meters: Meters) -> None:
    status, _, body = await meters.raw("", [])
    assert status == 200
    for slug in ("runs", "tokens_in", "tokens_out", "tool_calls", "credits", "duration"):
        assert f'"slug":"{slug}"'.encode() in body
    assert (await meters.raw("/tokens_in", []))[0] == 200
    assert (await meters.raw("/nothing", []))[0] == 404
    assert (await meters.raw("/nothing/query", []))[0] == 404


async def test_only_the_last_version_of_a_run_counts_whenever_it_comes(
    meters: Meters, world: World, clickhouse: AsyncClient
) -> None:
    first = world.run(
        run_id="run_m1", version=1, status="started", started_at_ms=BASE_MS, tokens_in=10, charged_micro=1
    )
    last = world.run(run_id="run_m1", version=9, started_at_ms=BASE_MS, tokens_in=100, charged_micro=7)
    await world.store(clickhouse, first)
    assert await meters.values("tokens_in", SPAN) == [10]
    assert (await meters.ask("runs", SPAN))["data"] == []

    await world.store(clickhouse, last)
    await world.store(clickhouse, first)

    assert await meters.values("tokens_in", SPAN) == [100]
    assert await meters.values("credits", SPAN) == [7]
    assert await meters.values("runs", SPAN) == [1]
    assert await meters.values("duration_p95", SPAN) == [900]
    (row,) = (await meters.ask("runs", SPAN))["data"]
    assert (row["window_start"], row["window_end"]) == (
        "2026-01-31T09:00:00.000Z",
        "2026-01-31T21:00:00.000Z",
    )
    assert (row["subject"], row["group_by"], row["is_other"], row["previous"]) == (None, {}, False, None)


async def test_the_largest_groups_and_the_rest_add_up(
    meters: Meters, world: World, clickhouse: AsyncClient
) -> None:
    runs = [
        world.run(started_at_ms=BASE_MS + n * HOUR_MS, model=f"model-{n}", tokens_out=10**n) for n in range(5)
    ]
    await world.store(clickhouse, *runs)
    asked: Query = [*SPAN, ("group_by", "model"), ("top_n", 2)]

    rows = (await meters.ask("tokens_out", asked))["data"]

    assert [(r["group_by"]["model"], r["is_other"], r["value"]) for r in rows] == [
        ("model-3", False, 1_000),
        ("model-4", False, 10_000),
        ("other", True, 111),
    ]
    # Of a percentile the rest is that of all its runs, not of its groups' percentiles.
    rows = (await meters.ask("duration_p95", asked))["data"]
    assert [row["value"] for row in rows] == [900, 900, 900]
    hourly = (await meters.ask("tokens_out", [*asked, ("window", "hour")]))["data"]
    assert [row["value"] for row in hourly] == [1, 10, 100, 1_000, 10_000]
    assert [row["window_start"][11:16] for row in hourly] == ["09:00", "10:00", "11:00", "12:00", "13:00"]


async def test_the_largest_groups_are_those_of_the_range_itself(
    meters: Meters, world: World, clickhouse: AsyncClient
) -> None:
    asked: Query = [*SPAN, ("group_by", "model"), ("top_n", 1), ("compare", "previous")]
    assert (await meters.ask("tokens_out", asked))["data"] == []
    before = BASE_MS - HOUR_MS
    await world.store(clickhouse, world.run(started_at_ms=before, model="old", tokens_out=9))

    rows = (await meters.ask("tokens_out", asked))["data"]
    assert [(row["is_other"], row["value"], row["previous"]) for row in rows] == [(True, 0, 9)]

    # A model may be called as the rest is: the two stay apart.
    await world.store(clickhouse, world.run(started_at_ms=BASE_MS, model="other", tokens_out=1))
    rows = (await meters.ask("tokens_out", asked))["data"]
    assert [(r["group_by"]["model"], r["is_other"], r["value"], r["previous"]) for r in rows] == [
        ("other", False, 1, 0),
        ("other", True, 0, 9),
    ]


async def test_filters_and_groups_of_any_text(meters: Meters, world: World, clickhouse: AsyncClient) -> None:
    odd = ["a'b", 'say "hi"', "back\\slash", "tab\there", "line\nend", "{x:String}", "%s", "ü∑", "],['"]
    await world.store(clickhouse, *[world.run(started_at_ms=BASE_MS, end_user=text) for text in odd])
    for text in odd:
        rows = await meters.ask("runs", [*SPAN, ("filter[end_user]", text), ("group_by", "end_user")])
        assert [(row["group_by"], row["value"]) for row in rows["data"]] == [({"end_user": text}, 1)]
    both: Query = [*SPAN, ("filter[end_user]", odd[0]), ("filter[end_user]", odd[2])]
    assert await meters.values("runs", both) == [2]
    assert await meters.values("end_users", SPAN) == [len(odd)]
    top: Query = [*SPAN, ("group_by", "end_user"), ("group_by", "channel"), ("top_n", 100)]
    rows = (await meters.ask("runs", top))["data"]
    assert {row["group_by"]["end_user"] for row in rows} == set(odd)
    assert not any(row["is_other"] for row in rows)


async def test_openmeters_names_are_understood(meters: Meters, world: World, clickhouse: AsyncClient) -> None:
    await world.store(
        clickhouse, world.run(started_at_ms=BASE_MS), world.run(started_at_ms=BASE_MS, model="x")
    )
    theirs: Query = [
        ("clientId", "f74e58ed-94ce-4041-ae06-cf45420451a3"),
        ("from", "2026-01-31T00:00:00Z"),
        ("to", "2026-02-01T00:00:00Z"),
        ("windowSize", "DAY"),
        ("windowTimeZone", "UTC"),
        ("subject", world.org_id),
        ("filterGroupBy[model]", "gpt-4o-mini"),
        ("groupBy", "subject"),
        ("groupBy", "model"),
    ]
    (row,) = (await meters.ask("tokens_in", theirs))["data"]
    assert row["subject"] == world.org_id
    assert row["group_by"] == {"org_id": world.org_id, "model": "gpt-4o-mini"}
    assert row["value"] == 100


@pytest.mark.parametrize(
    ("window", "starts"),
    [
        # The clocks went forward on Sunday, 2026-03-29: that day has 23 hours.
        ("day", [("2026-03-28T23:00", "2026-03-29T22:00"), ("2026-03-29T22:00", "2026-03-30T22:00")]),
        ("week", [("2026-03-22T23:00", "2026-03-29T22:00"), ("2026-03-29T22:00", "2026-04-05T22:00")]),
        ("month", [("2026-02-28T23:00", "2026-03-31T22:00")]),
        ("hour", [("2026-03-29T21:00", "2026-03-29T22:00"), ("2026-03-29T22:00", "2026-03-29T23:00")]),
        ("minute", [("2026-03-29T21:30", "2026-03-29T21:31"), ("2026-03-29T22:15", "2026-03-29T22:16")]),
    ],
)
async def test_windows_begin_where_the_reader_lives(
    meters: Meters, world: World, clickhouse: AsyncClient, window: str, starts: list[tuple[str, str]]
) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    moments = [datetime(2026, 3, 29, 23, 30, tzinfo=berlin), datetime(2026, 3, 30, 0, 15, tzinfo=berlin)]
    await world.store(clickhouse, *[world.run(started_at_ms=int(m.timestamp() * 1000)) for m in moments])

    asked: Query = [("from", "2026-03-25T00:00:00"), ("to", "2026-03-31T00:00:00"), ("tz", "Europe/Berlin")]
    rows = (await meters.ask("runs", [*asked, ("window", window)]))["data"]

    assert [(row["window_start"][:16], row["window_end"][:16]) for row in rows] == starts
    assert sum(row["value"] for row in rows) == 2


@pytest.mark.parametrize(
    ("window", "start", "end", "before", "now"),
    [
        ("month", "2026-03-01", "2026-04-01", ["2026-02-01", "2026-03-01"], ["2026-03-01"]),
        ("day", "2026-03-30", "2026-04-01", ["2026-03-28", "2026-03-30"], ["2026-03-30", "2026-03-31"]),
        ("week", "2026-03-23", "2026-03-30", ["2026-03-16", "2026-03-23"], ["2026-03-23"]),
        ("hour", "2026-03-10", "2026-03-11", ["2026-03-09", "2026-03-10"], None),
    ],
)
async def test_a_period_beside_the_one_before(
    meters: Meters,
    world: World,
    clickhouse: AsyncClient,
    window: str,
    start: str,
    end: str,
    before: list[str],
    now: list[str] | None,
) -> None:
    berlin = ZoneInfo("Europe/Berlin")

    def at(day: str, hour: int = 0) -> int:
        return int(datetime.fromisoformat(f"{day}T{hour:02}:00:00").replace(tzinfo=berlin).timestamp() * 1000)

    earlier = [world.run(started_at_ms=at(before[0], hour), tokens_in=7) for hour in (1, 5)]
    later = [world.run(started_at_ms=at(start, 5), tokens_in=100)]
    outside = [world.run(started_at_ms=at(before[0]) - 1), world.run(started_at_ms=at(end))]
    await world.store(clickhouse, *earlier, *later, *outside)
    asked: Query = [("from", start), ("to", end), ("tz", "Europe/Berlin"), ("compare", "previous")]

    whole = await meters.ask("tokens_in", [*asked, ("window", window)])

    assert whole["previous"] == {
        "from": _utc(at(before[0])),
        "to": _utc(at(before[1])),
    }
    rows = whole["data"]
    assert (sum(row["value"] for row in rows), sum(row["previous"] for row in rows)) == (100, 14)
    if now is None:
        by_hour = {row["window_start"]: (row["value"], row["previous"]) for row in rows}
        assert by_hour == {_utc(at(start, 1)): (0, 7), _utc(at(start, 5)): (100, 7)}
    else:
        assert [row["window_start"] for row in rows] == [_utc(at(now[0]))]
    assert (await meters.ask("duration_p95", asked))["data"][0]["previous"] == 900


def _utc(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, ZoneInfo("UTC")).strftime("%Y-%m-%dT%H:%M:%S.000Z")


async def test_an_org_sees_itself_and_an_operator_the_tenant(
    meters: Meters, world: World, clickhouse: AsyncClient
) -> None:
    neighbour = await World.create(world.redis, world.tenant_id)
    stranger = await World.create(world.redis)
    for whose, tokens in ((world, 1), (neighbour, 10), (stranger, 100)):
        await whose.store(clickhouse, whose.run(started_at_ms=BASE_MS, tokens_in=tokens))
    assert await meters.values("tokens_in", SPAN) == [1]
    assert await meters.values("tokens_in", [*SPAN, ("filter[org_id]", neighbour.org_id)]) == []

    operator = f"{world.token}-operator"
    await world.add_token(operator, "", "operator")
    world.token = operator
    assert await meters.values("tokens_in", SPAN) == [11]
    rows = (await meters.ask("tokens_in", [*SPAN, ("group_by", "org_id")]))["data"]
    assert {row["subject"]: row["value"] for row in rows} == {world.org_id: 1, neighbour.org_id: 10}
    assert await meters.values("tokens_in", [*SPAN, ("filter[org_id]", neighbour.org_id)]) == [10]
    assert await meters.values("tokens_in", [*SPAN, ("filter[org_id]", stranger.org_id)]) == []


async def test_files_hold_what_json_holds(meters: Meters, world: World, clickhouse: AsyncClient) -> None:
    runs = [
        world.run(started_at_ms=BASE_MS + n * HOUR_MS, end_user=user)
        for n, user in enumerate(["ada", "=1+1", ""])
    ]
    await world.store(clickhouse, *runs)
    asked: Query = [*SPAN, ("window", "hour"), ("group_by", "end_user")]
    rows = (await meters.ask("tokens_in", asked))["data"]

    status, kind, body = await meters.raw("/tokens_in/query", asked, Accept="text/csv")
    assert (status, kind) == (200, "text/csv")
    lines = list(csv.DictReader(io.StringIO(body.decode())))
    assert [*lines[0]] == ["window_start", "window_end", "subject", "end_user", "is_other", "value"]
    assert [line["window_start"] for line in lines] == [row["window_start"] for row in rows]
    # Nothing that a spreadsheet would take for a formula.
    assert [line["end_user"] for line in lines] == ["ada", "'=1+1", ""]
    assert [(line["subject"], line["value"]) for line in lines] == [("", "100")] * 3

    status, kind, body = await meters.raw("/tokens_in/query", [*asked, ("format", "parquet")])
    assert (status, kind) == (200, "application/vnd.apache.parquet")
    table = pyarrow.parquet.read_table(io.BytesIO(body))
    accept = "application/vnd.apache.arrow.stream"
    status, kind, body = await meters.raw("/tokens_in/query", asked, Accept=accept)
    assert (status, kind) == (200, accept)
    for found in (table, pyarrow.ipc.open_stream(body).read_all()):
        assert found.column("end_user").to_pylist() == ["ada", "=1+1", ""]
        assert found.column("value").to_pylist() == [100, 100, 100]
        start = found.column("window_start")[0].as_py()
        assert start.timestamp() * 1000 == BASE_MS


@pytest.mark.parametrize(
    ("slug", "query", "names"),
    [
        ("runs", [("window", "year")], "window"),
        ("runs", [("tz", "Mars/Olympus")], "tz"),
        ("runs", [("from", "tomorrow")], "from"),
        ("runs", [("group_by", "tokens_in; DROP TABLE runs")], "group_by"),
        ("runs", [("filter[password]", "x")], "filter[password]"),
        ("runs", [("filter[model", "x")], "filter[model"),
        ("runs", [("filtr[model]", "x")], "filtr[model]"),
        ("runs", [("top_n", "2")], "top_n"),
        ("runs", [("top_n", "0"), ("group_by", "model")], "top_n"),
        ("runs", [("top_n", "²"), ("group_by", "model")], "top_n"),
        ("runs", [("compare", "never")], "compare"),
        ("runs", [("format", "xml")], "format"),
        ("runs", [("window", "hour"), ("windowSize", "HOUR")], "windowSize"),
        ("runs", [("window", "minute"), ("from", 0), ("to", BASE_MS)], "window"),
        ("runs", [("filter[model]", "x" * 300)], "filter[model]"),
        ("runs", [("filter[model]", "x\x00")], "filter[model]"),
    ],
)
async def test_a_bad_question_is_refused_with_its_parameters_name(
    meters: Meters, slug: str, query: Query, names: str
) -> None:
    problem = await meters.ask(slug, query, expect=422)
    assert problem["code"] == "invalid_request"
    assert problem["detail"].startswith(names)


async def test_no_form_that_was_accepted(meters: Meters) -> None:
    status, kind, body = await meters.raw("/runs/query", SPAN, Accept="application/pdf")
    assert (status, kind) == (406, "application/problem+json")
    assert b"text/csv" in body


async def test_too_large_an_answer_is_refused_before_its_first_byte(
    meters: Meters, world: World, clickhouse: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console_api.meters.service.MAX_ROWS", 5)
    runs = [world.run(started_at_ms=BASE_MS + n, end_user=f"user-{n}") for n in range(6)]
    await world.store(clickhouse, *runs)
    for form in ("json", "csv", "parquet", "arrow"):
        asked: Query = [*SPAN, ("group_by", "end_user"), ("format", form)]
        problem = await meters.ask("runs", asked, expect=422)
        assert (problem["code"], problem["max_rows"]) == ("result_too_large", 5)
    assert len(await meters.values("runs", [*SPAN, ("group_by", "end_user"), ("top_n", 4)])) == 5


async def test_a_large_answer_comes_whole(meters: Meters, world: World, clickhouse: AsyncClient) -> None:
    runs = [world.run(started_at_ms=BASE_MS + n, end_user=f"user-{n:05}") for n in range(20_000)]
    await world.store(clickhouse, *runs)
    rows = (await meters.ask("runs", [*SPAN, ("group_by", "end_user")]))["data"]
    assert [row["group_by"]["end_user"] for row in rows] == [f"user-{n:05}" for n in range(20_000)]
