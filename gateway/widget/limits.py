"""How often a visitor, an address and a key may begin sessions and runs, and rate those: one Redis call for
all of them. Ratings are counted apart, and may be as many as runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.errors import LimitsUnavailable, WidgetRateLimited
from gateway.keys import Caller
from gateway.rate_headers import seconds
from gateway.widget.addresses import hashed
from kit.clock import Clock
from kit.settings import WidgetSettings
from metering.limits import WINDOW_US
from metering.windows import DAY_MS
from schemas import keys

_SCRIPT = Path(__file__).with_name("limits.lua").read_text()
_DAY_US = DAY_MS * 1000

Kind = Literal["sessions", "runs", "feedback"]


class _Rate(NamedTuple):
    of: Literal["visitor", "address", "key"]
    who: str
    most: int
    window_us: int


class WidgetLimits:
    """Counts in Redis, so that all gateways count together. All rates are of one key."""

    def __init__(self, redis: Redis, settings: WidgetSettings, clock: Clock) -> None:
        self._script = redis.register_script(_SCRIPT)
        self._settings = settings
        self._clock = clock

    async def take(self, kind: Kind, caller: Caller, address: str, secret: bytes) -> None:
        """Let one through. Raises `WidgetRateLimited`, `LimitsUnavailable`.

        While Redis is away nothing is let through, whatever the plan: anybody may ask with a widget's key.
        """
        rates = [rate for rate in self._rates(kind, caller.visitor, hashed(address, secret)) if rate.most]
        if not rates:
            return
        numbers = [number for rate in rates for number in (rate.most, rate.window_us)]
        names = [f"{kind}:{rate.of}:{rate.who}" for rate in rates]
        try:
            reply = await self._script(
                keys=[keys.widget_rate(caller.partition, caller.key.key_id, name) for name in names],
                args=[self._clock() * 1000, *numbers],
            )
        except RedisError as error:
            raise LimitsUnavailable(headers={"Retry-After": "2"}) from error
        if reply[0]:
            raise _refusal(kind, rates[reply[0] - 1], reply[1])

    def _rates(self, kind: Kind, visitor: str, address: str) -> Iterator[_Rate]:
        s = self._settings
        sessions = kind == "sessions"
        if visitor:
            most = s.sessions_per_visitor_per_minute if sessions else s.runs_per_visitor_per_minute
            yield _Rate("visitor", visitor, most, WINDOW_US)
        most = s.sessions_per_address_per_minute if sessions else s.runs_per_address_per_minute
        yield _Rate("address", address, most, WINDOW_US)
        yield _Rate("key", "day", s.sessions_per_key_per_day if sessions else s.runs_per_key_per_day, _DAY_US)


def _refusal(kind: Kind, rate: _Rate, wait_us: int) -> WidgetRateLimited:
    wait = max(1, seconds(wait_us))
    return WidgetRateLimited(
        f"wait {wait} s: no more {kind} for this {rate.of} now",
        limit=f"{kind}_per_{rate.of}",
        headers={"Retry-After": str(wait)},
    )
