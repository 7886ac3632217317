"""When the org's credits run out: the wallet of now over what its instances really used."""

from __future__ import annotations

import asyncio
import time

from msgspec import Struct

from console.calls import instances, usage, wallet
from console.calls.wallet import Change
from console.components.button import link_button
from console.components.icon import icon
from console.components.loaded import Loaded
from console.components.text import Text, box, when
from console.pages.instance.context import InstanceContext

_DAY_MS = 86_400_000
_LOOKED_AT_DAYS = 7
_SOON_DAYS = 7
#: Beyond this a forecast from a week of use says nothing.
_HORIZON_DAYS = 365
_MAX_INSTANCES = 24
_EVERY_S = 60.0


class Forecast(Struct, frozen=True):
    """Credits available, used per day by all instances, and when they end (0: not within a year)."""

    available_micro: int
    per_day_micro: int
    ends_at_ms: int
    instances: int


def ends_at(available_micro: int, per_day_micro: int, schedule: tuple[Change, ...], now_ms: int) -> int:
    """Return when the credits end at a steady use, with the expiries and grants that time brings; 0: never.

    Between two changes the balance falls in a straight line, so each stretch is one division. Credits spent
    before they would have expired do not expire: an expiry takes at most what use has left of it.
    """
    left, at_ms, spent = available_micro, now_ms, 0
    for change in schedule:
        if left <= 0:
            return at_ms
        used = per_day_micro * (change.at_ms - at_ms) // _DAY_MS
        if per_day_micro and used >= left:
            return at_ms + left * _DAY_MS // per_day_micro
        left, at_ms, spent = left - used, change.at_ms, spent + used
        if change.delta_micro < 0:
            # What expires next is spent first.
            expires = max(0, -change.delta_micro - spent)
            spent = max(0, spent + change.delta_micro)
            left -= expires
        else:
            left += change.delta_micro
    if left <= 0:
        return at_ms
    if not per_day_micro:
        return 0
    ends = at_ms + left * _DAY_MS // per_day_micro
    return ends if ends - now_ms <= _HORIZON_DAYS * _DAY_MS else 0


def draw(context: InstanceContext) -> None:
    """Draw one sentence, and the way to more credits."""

    async def load() -> Forecast:
        return await _forecast(context)

    Loaded(load, lambda found: _draw(found, context), "forecast", count=1, every_s=_EVERY_S)


async def _forecast(context: InstanceContext) -> Forecast:
    visitor, now_ms = context.visitor, int(time.time() * 1000)
    purse, page = await asyncio.gather(wallet.wallet(visitor), instances.instances(visitor))
    shown = page.instances[:_MAX_INSTANCES]
    found = await asyncio.gather(
        *(
            usage.usage(
                visitor,
                item.instance_id,
                start=str(now_ms - _LOOKED_AT_DAYS * _DAY_MS),
                to="",
                window="day",
                group_by="none",
                tz="UTC",
            )
            for item in shown
        )
    )
    per_day = sum(one.totals.credits_micro for one in found) // _LOOKED_AT_DAYS
    ends = ends_at(purse.available_micro, per_day, purse.schedule, now_ms)
    return Forecast(purse.available_micro, per_day, ends, len(shown))


def _draw(found: Forecast, context: InstanceContext) -> None:
    shown = context.locale
    now_ms = int(time.time() * 1000)
    soon = found.ends_at_ms and found.ends_at_ms - now_ms < _SOON_DAYS * _DAY_MS
    empty = found.available_micro <= 0
    tone = "bad" if empty else "warn" if soon else "brand"
    with box("div", f"rm-note rm-note--{tone}", testid="forecast"):
        icon("hourglass_bottom" if empty or soon else "trending_down")
        with box("div", "rm-grow"):
            with box("p"):
                if empty:
                    Text("strong", "Your organisation has no credits left. New runs are refused.")
                elif found.ends_at_ms:
                    Text("span", "At the pace of the last 7 days, your credits last until ")
                    with box("strong"):
                        when(found.ends_at_ms, "date")
                    Text("span", ".")
                else:
                    Text("span", "At the pace of the last 7 days, your credits last for more than a year.")
            Text(
                "p",
                f"{shown.credits(found.available_micro)} available, "
                f"{shown.credits(found.per_day_micro)} used a day by {found.instances} "
                f"instance{'s' if found.instances != 1 else ''}. Expiries are counted in.",
                "rm-small",
            )
        link_button("Add credits", "/account/wallet", look="secondary", small=True)
