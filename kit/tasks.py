"""Ending tasks that would otherwise work for ever."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

log = logging.getLogger(__name__)

_AGAIN_S = 0.5


async def ended(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks, as often as it takes, and return when none of them runs any more.

    A cancellation can be lost. A driver that is interrupted while it closes a connection raises an error of
    its own instead, and a loop that repeats what failed goes on: cancelled once, it would never end.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN_S)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("a task failed before it was ended", extra={"error": repr(error)})
