"""Empties the outbox, a lane at a time: take the oldest rows, write them to their store, mark them sent.

A kill between write and mark writes the rows again. A leader that was taken for dead and comes back repeats
only what its successor wrote before anything newer, so the first of each command is in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

from aiokafka.errors import KafkaError
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from console_api.control.outbox import repository
from console_api.control.outbox.lease import LeaderLease
from console_api.control.outbox.models import Lane
from console_api.database.engine import Database
from console_api.database.tables import OutboxRow
from kit.clock import Clock
from kit.settings import ControlSettings

log = logging.getLogger(__name__)

#: A store that is away: the rows wait.
OUTAGES = (KafkaError, RedisError, SQLAlchemyError, TimeoutError, OSError)
_RETRY_MIN_S = 0.1
_RETRY_MAX_S = 5.0
_PRUNE_EVERY_MS = 60_000


class Sink(Protocol):
    """Where a lane's rows go."""

    async def deliver(self, rows: Sequence[OutboxRow]) -> Mapping[int, str]:
        """Write the rows, in order. Return those that can never be written, by `seq`, and why.

        Raises one of `OUTAGES` when the store is away; then any of the rows may have been written.
        """

    async def close(self) -> None:
        """Let go of connections."""


class Relay:
    """One lane's relay in one process. Others may run elsewhere; one of them leads."""

    def __init__(
        self, database: Database, lane: Lane, sink: Sink, settings: ControlSettings, clock: Clock
    ) -> None:
        self._database = database
        self._lane = lane
        self._sink = sink
        self._settings = settings
        self._clock = clock
        self._lease = LeaderLease(database, f"outbox/{lane}", settings.lease_ms, clock)
        self._committed = database.on_commit()
        self._pruned_at_ms = clock()

    async def run(self) -> None:
        """Relay for ever."""
        delay = _RETRY_MIN_S
        try:
            while True:
                self._committed.clear()
                try:
                    sent = await self.turn()
                    await self._prune()
                    delay = _RETRY_MIN_S
                except OUTAGES as error:
                    log.warning("the outbox waits", extra={"lane": self._lane, "error": repr(error)})
                    await asyncio.sleep(delay)
                    delay = min(delay * 2, _RETRY_MAX_S)
                    continue
                if not sent:
                    await self._changed()
        finally:
            await self.close()

    async def turn(self) -> int:
        """Send one batch, if there is one and this process leads; return how many rows that was."""
        if not await self._waits():
            return 0
        async with self._lease.leading() as leads:
            return await self._send() if leads else 0

    async def drain(self) -> None:
        """Send until nothing waits; what another relay leads in is waited for. Raises one of `OUTAGES`."""
        while await self._waits():
            try:
                sent = await self.turn()
            except TimeoutError:
                # Slower than its lease lasts, as on a machine that starts everything at once: again.
                sent = 0
            if not sent:
                await asyncio.sleep(self._settings.relay_poll_ms / 1000)

    async def close(self) -> None:
        """Close the sink, and let another relay lead at once."""
        await self._sink.close()
        with contextlib.suppress(*OUTAGES):
            await self._lease.free()

    async def _waits(self) -> bool:
        async with self._database.reading() as session:
            return await repository.has_pending(session, self._lane)

    async def _send(self) -> int:
        async with self._database.reading() as session:
            rows = await repository.pending(session, self._lane, self._settings.relay_batch)
        # Given up before another may lead.
        async with asyncio.timeout(self._settings.lease_ms * 0.8 / 1000):
            poison = await self._sink.deliver(rows)
        now = self._clock()
        async with self._database.writing() as session:
            await repository.mark_sent(session, [row.seq for row in rows if row.seq not in poison], now)
            await repository.park(session, poison, now)
        for seq, reason in poison.items():
            log.error("an outbox row was parked", extra={"seq": seq, "reason": reason})
        return len(rows)

    async def _changed(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.relay_poll_ms / 1000):
                await self._committed.wait()

    async def _prune(self) -> None:
        now = self._clock()
        if now - self._pruned_at_ms < _PRUNE_EVERY_MS:
            return
        self._pruned_at_ms = now
        async with self._database.writing() as session:
            await repository.prune(session, now - self._settings.outbox_keep_s * 1000)
