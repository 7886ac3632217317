"""The ledger: lines, pages, files, and balances of the past, from real rows in several versions."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from urllib.parse import urlencode, urlsplit

import aiohttp
import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from console_stack import serving
from console_world import CREDIT, World
from cut_proxy import proxy
from redis.asyncio import Redis

from console_api import cursors
from console_api.app import Config
from console_api.ledger.models import MAX_CSV_LINES, Balance, LedgerPage
from kit.clock import now_ms
from kit.settings import ClickHouseSettings

HOUR_MS = 3_600_000
#: 2026-01-31 09:00 UTC
BASE_MS = 1_769_850_000_000
SPAN = {"from": "2026-01-31", "to": "2026-02-01T00:00:00Z"}


async def ask(
    http: aiohttp.ClientSession, base_url: str, world: World, path: str, expect: int = 200, **query: object
) -> dict:
    url = f"{base_url}/api/v1/wallet/{path}?{urlencode(query, doseq=True)}"
    async with http.get(url, headers=world.headers) as answer:
        assert answer.status == expect, await answer.text()
        assert answer.content_type == ("application/json" if expect == 200 else "application/problem+json")
        body = await answer.json()
    if expect == 200:
        # The answer has exactly the shape that the contract publishes.
        model = LedgerPage if path == "ledger" else Balance
        assert model.model_validate(body, extra="forbid").model_dump() == body
    return body


async def download(
    http: aiohttp.ClientSession, base_url: str, world: World, **query: object
) -> tuple[list[dict[str, str]], aiohttp.ClientResponse]:
    url = f"{base_url}/api/v1/wallet/ledger?{urlencode({'format': 'csv', **query}, doseq=True)}"
    async with http.get(url, headers=world.headers) as answer:
        assert answer.status == 200, await answer.text()
        return list(csv.DictReader(io.StringIO(await answer.text(), newline=""))), answer


async def fill(clickhouse: AsyncClient, world: World, lines: int, reason: str = "") -> None:
    """Store so many entries, a millisecond apart, each taking one micro-credit."""
    await clickhouse.command(
        "INSERT INTO ledger SELECT {tenant:String}, {org:String}, concat('run_', toString(number)), 1,"
        " 'usage', -1, 'usage', fromUnixTimestamp64Milli(toInt64({base:Int64} + number), 'UTC'),"
        " fromUnixTimestamp64Milli({base:Int64}, 'UTC'), 'run', 'v1', {reason:String}, 'credits.ledger', 0,"
        " number FROM numbers({lines:UInt64})",
        parameters={
            "tenant": world.tenant_id,
            "org": world.org_id,
            "base": BASE_MS,
            "lines": lines,
            "reason": reason,
        },
    )


async def test_a_line_says_what_when_and_why(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    entry = world.entry(
        "grant_1",
        10 * CREDIT,
        kind="grant",
        account="granted:purchase",
        occurred_at_ms=BASE_MS + 7,
        price_version="",
        reason="Order 7",
    )
    await world.record(clickhouse, entry, recorded_at_ms=BASE_MS + 1_250)

    page = await ask(http, base_url, world, "ledger", **SPAN)

    assert page == {
        "entries": [
            {
                "entry_id": "grant_1",
                "kind": "grant",
                "account": "granted:purchase",
                "amount": "10.000000",
                "amount_micro": 10 * CREDIT,
                "occurred_at": "2026-01-31T09:00:00.007Z",
                "occurred_at_ms": BASE_MS + 7,
                "recorded_at": "2026-01-31T09:00:01.250Z",
                "recorded_at_ms": BASE_MS + 1_250,
                "reference_id": "grant_1",
                "price_version": "",
                "reason": "Order 7",
            }
        ],
        "next_cursor": None,
    }


async def test_of_an_entry_only_the_last_version_counts(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    # The last version arrives first, in a part of its own; an older one lies within a range that it left.
    await world.record(clickhouse, world.entry("run_1", -300, version=9, occurred_at_ms=BASE_MS + HOUR_MS))
    await world.record(clickhouse, world.entry("run_1", -100, version=1, occurred_at_ms=BASE_MS))

    page = await ask(http, base_url, world, "ledger", **SPAN)
    assert [(line["entry_id"], line["amount_micro"]) for line in page["entries"]] == [("run_1", -300)]
    before = await ask(http, base_url, world, "ledger", **{"from": BASE_MS, "to": BASE_MS + 1})
    assert before["entries"] == []
    balance = await ask(http, base_url, world, "balance", at=BASE_MS + HOUR_MS)
    assert balance["balance_micro"] == -300
    assert (await ask(http, base_url, world, "balance", at=BASE_MS))["balance_micro"] == 0
    lines, _ = await download(http, base_url, world, **SPAN)
    assert [line["amount"] for line in lines] == ["-0.000300"]


async def test_pages_hang_together_while_entries_are_added(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    now = now_ms()
    ages = {"run_1": 9, "run_2": 5, "run_3": 5, "run_4": 5, "run_5": 3, "run_6": 1, "run_7": 1}
    entries = [world.entry(name, -1, occurred_at_ms=now - age * HOUR_MS) for name, age in ages.items()]
    await world.record(clickhouse, *entries)

    seen: list[tuple[str, int]] = []
    query: dict[str, object] = {"limit": 2}
    while True:
        page = await ask(http, base_url, world, "ledger", **query)
        seen += [(line["entry_id"], line["amount_micro"]) for line in page["entries"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
        turn = len(seen)
        # Newer ones, and new versions of one that was listed and of one that is yet to come.
        await world.record(
            clickhouse,
            world.entry(f"new_{turn}", -1),
            world.entry("run_7", -turn, version=1 + turn, occurred_at_ms=now - HOUR_MS),
            world.entry("run_1", -turn, version=1 + turn, occurred_at_ms=now - 9 * HOUR_MS),
        )

    assert [name for name, _ in seen] == ["run_7", "run_6", "run_5", "run_4", "run_3", "run_2", "run_1"]
    assert seen[-1] == ("run_1", -6)


async def test_a_cursor_keeps_the_range_it_came_from(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    await world.record(
        clickhouse, *(world.entry(f"run_{n}", -1, occurred_at_ms=BASE_MS + n) for n in range(4))
    )
    first = await ask(http, base_url, world, "ledger", **{"from": BASE_MS + 1, "to": BASE_MS + 9, "limit": 2})
    rest = await ask(http, base_url, world, "ledger", cursor=first["next_cursor"])
    assert [line["entry_id"] for line in first["entries"] + rest["entries"]] == ["run_3", "run_2", "run_1"]
    assert rest["next_cursor"] is None


async def test_by_kind_and_reference(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    odd = 'it\'s\\a\t"run"%\n{x:String}'
    await world.record(
        clickhouse,
        world.entry("a", 500, kind="grant", occurred_at_ms=BASE_MS),
        world.entry("b", -20, occurred_at_ms=BASE_MS + 1),
        world.entry("b/void_1", 20, kind="adjustment", reference_id="b", occurred_at_ms=BASE_MS + 2),
        world.entry("c", -7, reference_id=odd, occurred_at_ms=BASE_MS + 3),
    )

    async def ids(**query: object) -> list[str]:
        page = await ask(http, base_url, world, "ledger", **SPAN, **query)
        lines, _ = await download(http, base_url, world, **SPAN, **query)
        assert [line["entry_id"] for line in lines] == [line["entry_id"] for line in page["entries"]]
        return [line["entry_id"] for line in page["entries"]]

    assert await ids(kind="grant") == ["a"]
    assert await ids(kind=["grant", "adjustment"]) == ["b/void_1", "a"]
    assert await ids(reference_id="b") == ["b/void_1", "b"]
    assert await ids(reference_id="b", kind="usage") == ["b"]
    assert await ids(reference_id=odd) == ["c"]
    assert await ids(reference_id="' OR 1 = 1 --") == []


async def test_a_file_for_a_spreadsheet(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    await world.record(
        clickhouse,
        world.entry("a", -1_500_000, occurred_at_ms=BASE_MS, reason='=HYPERLINK("http://evil.example")'),
        world.entry("b", 2, occurred_at_ms=BASE_MS + 1, reason='Größe, "quoted"\nsecond line'),
        recorded_at_ms=BASE_MS,
    )

    lines, answer = await download(http, base_url, world, **SPAN)

    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    name = f"ledger_{world.org_id}_2026-01-31_2026-01-31.csv"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    assert lines[0]["reason"] == 'Größe, "quoted"\nsecond line'
    assert lines[1] == {
        "entry_id": "a",
        "kind": "usage",
        "account": "usage",
        "amount": "-1.500000",
        "amount_micro": "-1500000",
        "occurred_at": "2026-01-31T09:00:00.000Z",
        "recorded_at": "2026-01-31T09:00:00.000Z",
        "reference_id": "a",
        "price_version": "v1",
        "reason": '\'=HYPERLINK("http://evil.example")',
    }


async def test_a_long_file_has_every_line_once(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    await fill(clickhouse, world, 12_345)
    lines, _ = await download(http, base_url, world, **SPAN)
    assert [line["entry_id"] for line in lines] == [f"run_{n}" for n in reversed(range(12_345))]


async def test_a_file_that_would_be_too_long_is_refused(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    await fill(clickhouse, world, MAX_CSV_LINES + 1)
    problem = await ask(http, base_url, world, "ledger", 422, **SPAN, format="csv")
    assert (problem["entries"], problem["max_entries"]) == (MAX_CSV_LINES + 1, MAX_CSV_LINES)
    assert "shorter range" in problem["detail"]


async def test_a_file_that_cannot_be_read_to_its_end_does_not_look_complete(
    http: aiohttp.ClientSession, config: Config, world: World, clickhouse: AsyncClient
) -> None:
    await fill(clickhouse, world, 90_000, reason="x" * 500)
    target = urlsplit(config.clickhouse.url)
    async with proxy(target.hostname or "", target.port or 0) as cut:
        settings = ClickHouseSettings(url=f"http://127.0.0.1:{cut.port}", database=config.clickhouse.database)
        async with serving(replace(config, clickhouse=settings)) as url:
            query = urlencode({**SPAN, "format": "csv"})
            async with http.get(f"{url}/api/v1/wallet/ledger?{query}", headers=world.headers) as answer:
                await answer.content.readline()
                cut.cut()
                with pytest.raises(aiohttp.ClientPayloadError):
                    await answer.read()


async def test_the_balance_of_any_past_moment(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    await world.record(
        clickhouse,
        world.entry("g", 10 * CREDIT, kind="grant", occurred_at_ms=BASE_MS),
        world.entry("r", -3 * CREDIT, occurred_at_ms=BASE_MS + HOUR_MS),
        world.entry("r/1", CREDIT, kind="adjustment", occurred_at_ms=BASE_MS + 2 * HOUR_MS),
        world.entry("g/expiry", -8 * CREDIT, kind="expiry", occurred_at_ms=BASE_MS + 3 * HOUR_MS),
    )
    for at, expected in (
        (BASE_MS - 1, 0),
        (BASE_MS, 10),
        ("2026-01-31T10:00:00Z", 7),
        ("2026-01-31T12:00:00+01:00", 8),
        ("2026-01-31T12:00", 0),
    ):
        balance = await ask(http, base_url, world, "balance", at=at)
        assert balance["balance_micro"] == expected * CREDIT, at
        assert sum(kind["amount_micro"] for kind in balance["by_kind"]) == expected * CREDIT
        assert (balance["pending"], balance["pending_micro"]) == (None, None)
    assert balance["at"] == "2026-01-31T12:00:00.000Z"
    sums = {kind["kind"]: (kind["entries"], kind["amount"]) for kind in balance["by_kind"]}
    assert sums == {
        "usage": (1, "-3.000000"),
        "adjustment": (1, "1.000000"),
        "grant": (1, "10.000000"),
        "expiry": (1, "-8.000000"),
        "void": (0, "0.000000"),
        "refund": (0, "0.000000"),
    }


async def test_now_it_says_what_is_not_stored_yet(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    now = now_ms()
    entries = await world.settle(
        world.issue("ended", 5, expires_at_ms=now - 2 * HOUR_MS),
        world.issue("usual", 10),
        world.issue("ahead", 7, effective_at_ms=now + HOUR_MS),
        at_ms=now - 3 * HOUR_MS,
    )
    # One expiry is written down here; another is due since, and nobody has written it down.
    entries += await world.settle(
        world.issue("brief", 1, expires_at_ms=now - 60_000),
        charged=2 * CREDIT,
        at_ms=now - HOUR_MS,
    )

    balance = await ask(http, base_url, world, "balance")
    assert (balance["balance_micro"], balance["pending_micro"]) == (0, 16 * CREDIT)
    assert (balance["recorded_at"], balance["recorded_at_ms"]) == (None, None)

    await world.record(clickhouse, *entries)
    balance = await ask(http, base_url, world, "balance")
    assert (balance["balance"], balance["pending"]) == ("18.000000", "-2.000000")
    assert now_ms() - balance["recorded_at_ms"] < 60_000

    # The run's charge arrives; its clock is ahead of ours.
    await world.record(clickhouse, world.entry("run_1", -2 * CREDIT, occurred_at_ms=now + HOUR_MS))
    balance = await ask(http, base_url, world, "balance")
    assert (balance["balance"], balance["pending_micro"]) == ("16.000000", 0)


async def test_another_org_sees_nothing(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient, redis: Redis
) -> None:
    await world.settle(world.issue("g", 10))
    await world.record(
        clickhouse, world.entry("g", 10 * CREDIT, kind="grant"), world.entry("r", -1), world.entry("s", -1)
    )
    neighbour = await World.create(redis, world.tenant_id)
    stranger = await World.create(redis)
    # A tenant that calls an org the same.
    await stranger.add_token(stranger.token, world.org_id)
    cursor = (await ask(http, base_url, world, "ledger", limit=1))["next_cursor"]
    for other in (neighbour, stranger):
        for query in ({}, {"cursor": cursor}, {"reference_id": "g"}):
            assert (await ask(http, base_url, other, "ledger", **query))["entries"] == []
        assert (await download(http, base_url, other))[0] == []
        balance = await ask(http, base_url, other, "balance")
        assert (balance["balance_micro"], balance["pending_micro"]) == (0, 0)


async def test_a_viewer_may_read(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    await world.record(clickhouse, world.entry("g", 10, kind="grant"))
    await world.add_token(world.token, world.org_id, "viewer")
    assert len((await ask(http, base_url, world, "ledger"))["entries"]) == 1
    assert len((await download(http, base_url, world))[0]) == 1
    assert (await ask(http, base_url, world, "balance"))["balance_micro"] == 10


@pytest.mark.parametrize(
    ("path", "query", "remedy"),
    [
        ("ledger", {"from": "yesterday"}, "ISO-8601"),
        ("ledger", {"to": "2026-01-31T09:00:00 01:00"}, "%2B"),
        ("ledger", {"from": 2_000, "to": 1_000}, "before"),
        ("ledger", {"kind": "gift"}, "grant"),
        ("ledger", {"limit": 201}, "200"),
        ("ledger", {"limit": 0}, "1"),
        ("ledger", {"format": "xml"}, "csv"),
        ("ledger", {"cursor": "garbage"}, "without it"),
        ("ledger", {"cursor": cursors.encode((0, "x"))}, "without it"),
        ("ledger", {"cursor": cursors.encode((0, 10**30, "x"))}, "without it"),
        ("ledger", {"cursor": cursors.encode((-1, 1, "x"))}, "without it"),
        ("ledger", {"cursor": cursors.encode((0, 1, "x")), "format": "csv"}, "format=json"),
        ("balance", {"at": "soon"}, "ISO-8601"),
        ("balance", {"at": ""}, "ISO-8601"),
        ("balance", {"at": 10**15}, "1970"),
        ("balance", {"at": "2099-01-01"}, "schedule"),
    ],
)
async def test_a_question_that_cannot_be_answered_says_what_to_ask(
    http: aiohttp.ClientSession,
    base_url: str,
    world: World,
    path: str,
    query: dict[str, object],
    remedy: str,
) -> None:
    problem = await ask(http, base_url, world, path, 422, **query)
    assert problem["code"] == "invalid_request"
    assert remedy in problem["detail"]


async def test_an_odd_cursor_is_a_place_like_any_other(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> None:
    await world.record(clickhouse, world.entry("run_1", -1, occurred_at_ms=BASE_MS))
    for entry_id in ("'", "\\", "\t\n", "\0", "ü" * 300, ""):
        cursor = cursors.encode((0, BASE_MS + 1, entry_id))
        page = await ask(http, base_url, world, "ledger", cursor=cursor)
        assert [line["entry_id"] for line in page["entries"]] == ["run_1"]
