"""The API is away, or refuses: what feeds and downloads make of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from browser_stack import console_process
from console_world import World
from waiting import eventually

from console.api import ApiClient, Missing, Unreachable
from console.calls.instances import PlanLimits
from console.calls.wallet import Forecast
from console.formats import Locale
from console.live import LiveFeeds
from console.pages.instance.forecast import says_empty
from console.visitor import TOKEN_KEY, Visitor

_NOWHERE = "http://127.0.0.1:9"


async def test_a_stream_from_nowhere_is_said_to_be_unreachable(base_url: str, world: World) -> None:
    away, there = ApiClient(_NOWHERE), ApiClient(base_url)
    try:
        with pytest.raises(Unreachable, match="cannot be reached"):
            async with away.stream("/wallet/ledger", {}):
                pass
        with pytest.raises(Missing):
            async with there.stream("/instances/inst_none/usage/live", world.headers):
                pass
    finally:
        await away.close()
        await there.close()


async def test_a_download_says_that_the_api_is_away(tmp_path: Path) -> None:
    async with (
        console_process(_NOWHERE, tmp_path, token="token") as url,
        aiohttp.ClientSession() as http,
        http.get(f"{url}/download/ledger.csv") as answer,
    ):
        assert answer.status == 503
        assert "cannot be reached" in await answer.text()


async def test_a_feed_that_ended_begins_anew_for_who_signed_in_since(base_url: str, world: World) -> None:
    leave: list[Callable[[], None]] = []
    api, feeds, heard = ApiClient(base_url), LiveFeeds(), dict[str, list[str]](first=[], second=[])

    def joined(tab: str) -> None:
        visitor = Visitor(api, {TOKEN_KEY: world.token}, "session_1")
        leave.append(feeds.join(visitor, world.instance_id, heard[tab].append))

    async def says(tab: str, link: str) -> None:
        async def said() -> bool:
            return any(f'"link":"{link}"' in message for message in heard[tab])

        await eventually(said, f"the {tab} tab is {link}")

    await world.revoke_token()
    joined("first")
    await says("first", "signed_out")

    await world.add_token(world.token, world.org_id)
    joined("second")

    await says("second", "live")
    await says("first", "live")
    for left in leave:
        left()
    await api.close()


@pytest.mark.parametrize(
    ("available", "plan", "says"),
    [
        (0, PlanLimits(), "New runs are refused"),
        (0, PlanLimits(overage_micro=5_000_000), "New runs are refused"),
        (-1_000_000, PlanLimits(soft=True, overage_micro=5_000_000), "Runs go on until it owes 5.00 credits"),
        (-5_000_000, PlanLimits(soft=True, overage_micro=5_000_000), "New runs are refused"),
    ],
)
def test_what_no_credits_mean_is_for_the_plan_to_say(available: int, plan: PlanLimits, says: str) -> None:
    found = Forecast(available_micro=available, per_day_micro=1, ends_at_ms=0, instances=1)
    assert says in says_empty(found, plan, Locale("en"))
