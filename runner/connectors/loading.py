"""From the projection of an instance's connectors to tools that a run may call.

Credentials are opened here, for the run that needs them, and nowhere written down.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from kit.connectors import KINDS
from kit.connectors.outbound import Outbound
from kit.connectors.port import MAX_TOOL_NAME, Action, BadSettings, ConnectorFailed
from kit.redis_client import get_bytes
from kit.seal import CannotOpen, Seal
from runner.tools import Arguments, Tool, ToolError
from schemas import keys
from schemas.directory import ConnectorRecord, ConnectorsRecord
from schemas.runner import ExecuteRequest

log = logging.getLogger(__name__)

_PATIENCE_S = 1.0
#: Providers take at most 128 functions.
_MAX_TOOLS = 100
_decode = msgspec.json.Decoder(ConnectorsRecord).decode


class Connectors:
    """Opens connectors. What cannot be opened is left out: the run goes on without it."""

    def __init__(self, redis: Redis, seal: Seal, outbound: Outbound) -> None:
        self._redis = redis
        self._seal = seal
        self._outbound = outbound

    async def tools(self, run: ExecuteRequest) -> dict[str, Tool]:
        """Return the tools of the instance's enabled connectors that whoever asks may use, by name."""
        made: dict[str, Tool] = {}
        for record in await self._records(run) if run.connectors else ():
            for action in self._actions(record, run):
                name = _unlike(action.name, made)
                if len(made) < _MAX_TOOLS:
                    made[name] = Tool(name, action.description, action.parameters, _calling(action))
        return made

    async def _records(self, run: ExecuteRequest) -> tuple[ConnectorRecord, ...]:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                blob = await get_bytes(self._redis, keys.connectors(run.instance_id))
            found = _decode(blob) if blob else None
        except (RedisError, OSError, TimeoutError, msgspec.DecodeError) as error:
            log.warning("connectors are away", extra={"run_id": run.run_id, "error": repr(error)})
            return ()
        # Whatever Redis says, nobody's credentials are used for anybody else.
        if found is None or (found.instance_id, found.tenant_id) != (run.instance_id, run.tenant_id):
            return ()
        if run.channel == "widget":
            # Anybody may be behind a page: they get what its owner lets them use.
            return tuple(record for record in found.connectors if record.for_visitors)
        return found.connectors

    def _actions(self, record: ConnectorRecord, run: ExecuteRequest) -> list[Action]:
        try:
            credentials: Mapping[str, Any] = {}
            if record.secret_id:
                opened = self._seal.open(record.secret_id, record.sealed)
                credentials = msgspec.json.decode(opened, type=dict[str, Any])
            kind = KINDS[record.kind]
            return kind.connector(record.name, record.settings, credentials, self._outbound).actions()
        except (CannotOpen, BadSettings, KeyError) as error:
            # Of the error only the kind: its text may hold what was sealed.
            log.warning(
                "a connector cannot be opened",
                extra={
                    "run_id": run.run_id,
                    "connector_id": record.connector_id,
                    "error": type(error).__name__,
                },
            )
            return []


def _calling(action: Action) -> Any:
    async def call(arguments: Arguments) -> str:
        try:
            return await action.call(arguments)
        except ConnectorFailed as error:
            raise ToolError(str(error)) from error

    return call


def _unlike(name: str, made: Mapping[str, Tool]) -> str:
    """Return the name, with a number where another connector's tool is called the same."""
    for number in range(2, _MAX_TOOLS + 2):
        if name not in made:
            return name
        ending = f"_{number}"
        name = name[: MAX_TOOL_NAME - len(ending)].removesuffix(f"_{number - 1}") + ending
    return name
