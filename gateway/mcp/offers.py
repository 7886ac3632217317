"""What instances' connectors can do, remembered for a moment: listing is not metered, so it must be cheap."""

from __future__ import annotations

import time
from collections import OrderedDict

from gateway.keys import Caller
from gateway.service import RunService
from schemas.runner import OfferedTool

_KNOWN_S = 5.0
_INSTANCES = 1_000


class Offers:
    """The tools of instances' connectors."""

    def __init__(self, runs: RunService) -> None:
        self._runs = runs
        self._known: OrderedDict[str, tuple[float, tuple[OfferedTool, ...]]] = OrderedDict()

    async def of(self, caller: Caller) -> tuple[OfferedTool, ...]:
        """Return the tools of the caller's instance, as they were a few seconds ago at most."""
        instance = caller.instance
        if not instance.connectors:
            return ()
        now = time.monotonic()
        until, tools = self._known.get(instance.instance_id, (0.0, ()))
        if now < until:
            return tools
        tools = await self._runs.connector_tools(caller)
        self._known.pop(instance.instance_id, None)
        self._known[instance.instance_id] = (now + _KNOWN_S, tools)
        if len(self._known) > _INSTANCES:
            self._known.popitem(last=False)
        return tools
