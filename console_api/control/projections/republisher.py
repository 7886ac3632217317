"""Has every projection published again once a day, so that `control.records` heals by itself.

What is older than the topic, or was lost with it, is there a day later at the latest. It goes through the
outbox: whoever leads there writes one state after the other, and an older one does not become the last.
"""

from __future__ import annotations

from console_api.control.looking import look
from console_api.control.outbox import repository as outbox
from console_api.control.projections import repository
from console_api.database.engine import Database
from kit.clock import Clock, new_id
from schemas.topics import DAY_MS

_LEASE = "records/all"
_LOOK_EVERY_S = 60.0


class Republisher:
    """Asks for it when it is due. Any number of console APIs may run one."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def run(self) -> None:
        """Look, and wait, for ever."""
        await look(self.turn, _LOOK_EVERY_S, "records are not published again")

    async def turn(self) -> bool:
        """Ask if nobody did for a day; return whether it was due."""
        now, request_id = self._clock(), new_id("all")
        async with self._database.writing() as session:
            await outbox.ensure_lease(session, _LEASE)
            # Nobody keeps it: it is free again when the day is over.
            due = await outbox.take_lease(session, _LEASE, request_id, now, now + DAY_MS)
            if due:
                await repository.publish_all(session, request_id, now)
        return due
