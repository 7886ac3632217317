"""Work that nobody asks for: looked for now and then, for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from console_api.control.outbox.relay import OUTAGES

log = logging.getLogger(__name__)

_AGAIN_S = 5.0


async def look(turn: Callable[[], Awaitable[object]], every_s: float, undone: str) -> None:
    """Take turns for ever, the next one sooner after an outage. `undone`: what the log says of one."""
    while True:
        try:
            await turn()
            await asyncio.sleep(every_s)
        except OUTAGES as error:
            log.warning(undone, extra={"error": repr(error)})
            await asyncio.sleep(_AGAIN_S)
