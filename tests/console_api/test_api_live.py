"""Live usage over real server-sent events."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from console_stack import serving
from console_world import CREDIT, World
from sse_reader import live
from waiting import PATIENCE_S

from console_api.app import Config
from kit.clock import now_ms
from kit.settings import ConsoleApiSettings
from metering.windows import start_of


async def test_a_snapshot_then_only_what_changed(
    http: aiohttp.ClientSession, base_url: str, world: World
) -> None:
    old_ms = now_ms() - 5 * 60_000
    await world.grant(10 * CREDIT)
    await world.count(old_ms, started=1, runs=1, tokens_in=7)
    async with live(http, base_url, world.instance_id, world.headers) as stream:
        snapshot = await stream.next()
        assert snapshot is not None
        assert snapshot.name == "snapshot"
        assert snapshot.data["totals"]["tokens_in"] == 7
        assert snapshot.data["wallet"]["settled_micro"] == 10 * CREDIT
        assert [w["start_ms"] for w in snapshot.data["windows"]["second5"]] == [start_of("second5", old_ms)]

        at_ms = now_ms()
        await world.count(at_ms, started=1, tokens_in=5, charged=CREDIT)
        delta = await stream.next()

    assert delta is not None
    assert delta.name == "delta"
    (window,) = delta.data["windows"]["second5"]
    assert window["start_ms"] == start_of("second5", at_ms)
    assert window["tokens_in"] == 5
    assert window["credits_micro"] == CREDIT
    assert delta.data["totals"]["tokens_in"] == 12
    assert delta.data["wallet"]["charged"] == "1.000000"
    assert int(delta.id.split("-")[0]) > int(snapshot.id.split("-")[0])


async def test_a_late_end_changes_the_window_the_run_started_in(
    http: aiohttp.ClientSession, base_url: str, world: World
) -> None:
    started_ms = now_ms() - 8 * 60_000
    async with live(http, base_url, world.instance_id, world.headers) as stream:
        await stream.next()
        await world.count(started_ms, started=1)
        await world.count(started_ms, runs=1, completed=1)
        event = await stream.until(lambda event: event.data["totals"]["runs"] == 1)
    (window,) = event.data["windows"]["second5"]
    assert (window["start_ms"], window["completed"]) == (start_of("second5", started_ms), 1)
    assert event.data["windows"]["minute"][0]["start_ms"] == start_of("minute", started_ms)


async def test_resuming_replays_what_was_missed_as_one_delta(
    http: aiohttp.ClientSession, base_url: str, world: World
) -> None:
    async with live(http, base_url, world.instance_id, world.headers) as keeper:
        await keeper.next()
        async with live(http, base_url, world.instance_id, world.headers) as first:
            seen = await first.next()
        assert seen is not None
        for tokens in (1, 2, 4):
            await world.count(tokens_in=tokens)
            await keeper.next()
        async with live(http, base_url, world.instance_id, world.headers, seen.id) as resumed:
            event = await resumed.next()
        assert event is not None
        assert event.name == "delta"
        assert event.data["totals"]["tokens_in"] == 7
        assert sum(window["tokens_in"] for window in event.data["windows"]["second5"]) == 7


@pytest.mark.parametrize("last_id", ["1-deadbeef", "nonsense", "9999999999999999999"])
async def test_an_id_that_cannot_be_resumed_gets_a_snapshot(
    http: aiohttp.ClientSession, base_url: str, world: World, last_id: str
) -> None:
    async with live(http, base_url, world.instance_id, world.headers, last_id) as stream:
        event = await stream.next()
    assert event is not None
    assert event.name == "snapshot"


async def test_a_quiet_stream_sends_heartbeats_and_nothing_else(
    http: aiohttp.ClientSession, base_url: str, world: World
) -> None:
    async with live(http, base_url, world.instance_id, world.headers) as stream:
        await stream.next()
        async with asyncio.timeout(PATIENCE_S):
            while len(stream.comments) < 3:
                with pytest.raises(TimeoutError):
                    await stream.next(timeout_s=0.5)


async def test_holds_alone_move_the_wallet(http: aiohttp.ClientSession, base_url: str, world: World) -> None:
    async with live(http, base_url, world.instance_id, world.headers) as stream:
        await stream.next()
        await world.hold("run_1", 250_000)
        event = await stream.next()
    assert event is not None
    assert event.data["wallet"]["held"] == "0.250000"
    assert event.data["windows"] == {"second5": [], "minute": []}


async def test_a_revoked_token_ends_its_streams(
    http: aiohttp.ClientSession, base_url: str, world: World
) -> None:
    async with live(http, base_url, world.instance_id, world.headers) as stream:
        await stream.next()
        await world.revoke_token()
        event = await stream.until(lambda event: event.name == "bye")
        assert event.data == {"reason": "unauthorized"}
        assert await stream.next() is None


async def test_viewers_share_one_hub_which_ends_with_the_last(
    http: aiohttp.ClientSession, base_url: str, world: World
) -> None:
    before = await _metric(http, base_url, "live_hubs")
    async with live(http, base_url, world.instance_id, world.headers) as one:
        await one.next()
        async with live(http, base_url, world.instance_id, world.headers) as two:
            await two.next()
            assert await _metric(http, base_url, "live_hubs") == before + 1
            await world.count(started=1)
            events = await asyncio.gather(one.next(), two.next())
            assert events[0] == events[1]
    async with asyncio.timeout(PATIENCE_S):
        while await _metric(http, base_url, "live_hubs") > before:  # noqa: ASYNC110 - another process' view
            await asyncio.sleep(0.02)


async def test_the_number_of_streams_and_their_life_are_bounded(
    http: aiohttp.ClientSession, config: Config, world: World
) -> None:
    api = ConsoleApiSettings(live_interval_ms=50, live_max_streams=1, live_max_lifetime_s=1)
    bounded = Config(api, config.redis, config.clickhouse, config.kafka)
    async with serving(bounded) as url, live(http, url, world.instance_id, world.headers) as stream:
        async with http.get(
            f"{url}/api/v1/instances/{world.instance_id}/usage/live", headers=world.headers
        ) as refused:
            assert refused.status == 503
            assert refused.headers["Retry-After"]
            assert (await refused.json())["code"] == "too_many_live_streams"
        bye = await stream.until(lambda event: event.name == "bye")
        assert bye.data == {"reason": "lifetime"}
        assert await stream.next() is None


async def test_a_reader_that_takes_nothing_gets_the_newest_state_when_it_reads_again(
    http: aiohttp.ClientSession, base_url: str, world: World
) -> None:
    async with live(http, base_url, world.instance_id, world.headers) as stream:
        stream.response.connection.transport.pause_reading()
        for _ in range(30):
            await world.count(tokens_in=1)
        stream.response.connection.transport.resume_reading()
        event = await stream.until(lambda event: event.data["totals"]["tokens_in"] == 30)
    assert event.data["windows"]["second5"]


async def test_a_change_arrives_though_nobody_asks(
    http: aiohttp.ClientSession, base_url: str, world: World
) -> None:
    async with live(http, base_url, world.instance_id, world.headers) as stream:
        await stream.next()
        await world.count(tokens_in=1)
        assert (await stream.next()).data["totals"]["tokens_in"] == 1


async def _metric(http: aiohttp.ClientSession, base_url: str, name: str) -> float:
    async with http.get(f"{base_url}/metrics") as answer:
        for line in (await answer.text()).splitlines():
            if line.startswith(f"runmeter_console_api_{name} "):
                return float(line.rsplit(" ", 1)[1])
    raise AssertionError(f"no metric {name}")
