"""Seals anew what an older key sealed, so that the older key can be taken out of the settings.

A row that no key opens is left as it is and counted: nobody can say what is in it, and its owner gives the
credentials again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.control.directory import service as directory
from console_api.control.looking import look
from console_api.control.vault import repository
from console_api.control.vault.seal import CannotOpen, Seal
from console_api.database.engine import Database
from console_api.database.tables import Secret
from kit.clock import Clock

log = logging.getLogger(__name__)

_BATCH = 100
_LOOK_EVERY_S = 300.0


class Resealer:
    """Looks for secrets of older keys at start and now and then. Any number of console APIs may run one."""

    def __init__(
        self, database: Database, seal: Seal, clock: Clock, report: Callable[[int], None] = lambda left: None
    ) -> None:
        self._database = database
        self._seal = seal
        self._clock = clock
        self._report = report
        self._told: set[str] = set()

    async def run(self) -> None:
        """Look, and wait, for ever."""
        await look(self.turn, _LOOK_EVERY_S, "secrets are not sealed anew")

    async def turn(self) -> int:
        """Seal all there is with the newest key; return how many rows were sealed anew."""
        done, after = 0, ""
        while True:
            async with self._database.writing() as session:
                rows = await repository.sealed_with_others(session, self._seal.fingerprint, _BATCH, after)
                sealed = [row for row in rows if self._reseal(row)]
                await self._project(session, sealed)
            done += len(sealed)
            if len(rows) < _BATCH:
                break
            after = rows[-1].secret_id
        async with self._database.reading() as session:
            left = await repository.count_of_others(session, self._seal.fingerprint)
        self._report(left)
        if done:
            log.info("secrets were sealed with the newest key", extra={"sealed": done, "left": left})
        return done

    def _reseal(self, row: Secret) -> bool:
        try:
            value = self._seal.open(row.secret_id, row.sealed)
        except CannotOpen as error:
            if row.secret_id not in self._told:
                self._told.add(row.secret_id)
                log.error("a secret cannot be opened", extra={"error": str(error)})
            return False
        row.sealed, row.sealed_with = self._seal.close(row.secret_id, value), self._seal.fingerprint
        row.updated_at_ms = self._clock()
        return True

    async def _project(self, session: AsyncSession, sealed: list[Secret]) -> None:
        """Have runners told: what they know of connectors holds the credentials as they were sealed."""
        for instance in await repository.instances_of(session, [row.secret_id for row in sealed]):
            await directory.changed(session, instance, self._clock())
