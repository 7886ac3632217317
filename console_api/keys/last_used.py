"""Collects when keys were last used: gateways note it in a hash in Redis, so that no request costs a write.

Stored first, forgotten then: a crash in between stores the same again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from pathlib import Path
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from console_api.database.engine import Database
from console_api.keys import repository
from schemas import keys

log = logging.getLogger(__name__)

_SCRIPT = Path(__file__).with_name("forget_last_used.lua").read_text()
_CHUNK = 500


class LastUsedCollector:
    """Moves what the hash says into the database."""

    def __init__(self, database: Database, redis: Redis) -> None:
        self._database = database
        self._redis = redis
        self._forget = redis.register_script(_SCRIPT)

    async def run(self, every_s: int) -> None:
        """Collect for ever."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.turn()
            except (RedisError, SQLAlchemyError, OSError) as error:
                log.warning("uses of keys were not collected", extra={"error": repr(error)})

    async def turn(self) -> int:
        """Collect what is there; return how many keys that was about."""
        collected, cursor = 0, 0
        while True:
            scan = self._redis.hscan(keys.key_last_used(), cursor, count=_CHUNK)
            cursor, found = await cast("Awaitable[tuple[int, dict[bytes, bytes]]]", scan)
            if found:
                used = {
                    field.decode(errors="replace"): int(at) for field, at in found.items() if at.isdigit()
                }
                async with self._database.writing() as session:
                    await repository.note_last_used(session, used)
                pairs = [part for pair in found.items() for part in pair]
                await self._forget(keys=[keys.key_last_used()], args=pairs)
            collected += len(found)
            if cursor == 0:
                return collected
