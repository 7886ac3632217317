"""Ends runs whose wallet ran out, as the metering worker pushes it."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway import metrics
from gateway.execution import Run
from schemas import keys
from schemas.directory import LimitState

log = logging.getLogger(__name__)

_MAX_ORGS = 50_000
_decode = msgspec.json.Decoder(LimitState).decode


class LimitWatch:
    """Hears of wallets that ran out. A state is absolute: the one with an org's highest version counts.

    A state is acted upon once, as it comes: nobody pushes that a wallet has recovered.
    """

    def __init__(self, redis: Redis, runs: dict[str, Run]) -> None:
        self._redis = redis
        self._runs = runs
        self._versions: OrderedDict[str, int] = OrderedDict()

    async def listen(self) -> None:
        """Cut runs as wallets run out, for ever."""
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(keys.LIMIT_CHANNEL)
                    while True:
                        message = await pubsub.get_message(timeout=1.0)
                        if message is not None:
                            self._hear(message["data"])
            except RedisError as error:
                log.warning("limits are not heard", extra={"error": repr(error)})
                await asyncio.sleep(0.5)

    def _hear(self, data: bytes) -> None:
        try:
            state = _decode(data)
        except msgspec.DecodeError as error:
            log.warning("an unreadable limit state", extra={"error": str(error)})
            return
        if self._is_news(state):
            for run in exhausted(state, self._runs.values()):
                if run.cut("credits_exhausted"):
                    metrics.CUT_RUNS["credits_exhausted"].inc()

    def _is_news(self, state: LimitState) -> bool:
        known = self._versions.get(state.org_id)
        if known is not None and known >= state.version:
            return False
        self._versions[state.org_id] = state.version
        self._versions.move_to_end(state.org_id)
        if len(self._versions) > _MAX_ORGS:
            self._versions.popitem(last=False)
        return True


def exhausted(state: LimitState, runs: Iterable[Run]) -> list[Run]:
    """Return the org's runs that have to end: all of them at the floor; below what is held, those whose cost
    outgrew their hold."""
    found = []
    for run in runs:
        if run.lease.org_id != state.org_id:
            continue
        if state.balance_micro <= -run.overage_micro or (
            state.available_micro < -run.overage_micro and run.cost_micro > run.granted_micro
        ):
            found.append(run)
    return found
