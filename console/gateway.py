"""The gateway, called with an instance's own keys: only for the test chat and the widget's preview."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import aiohttp
import msgspec

from console import sse
from console.api import ApiError, Unreachable, problem

_TIMEOUT = aiohttp.ClientTimeout(total=180, connect=5, sock_read=60)
_SHORT = aiohttp.ClientTimeout(total=4)
#: Before each try of a key that was made just now. It opens at once, but where Redis was away as it was made.
PAUSES_S = (0.0, 1.0, 2.0, 4.0, 8.0)


class Said(msgspec.Struct, frozen=True):
    """One message of a conversation."""

    role: str
    content: str


async def ask(
    gateway_url: str, key: str, messages: Sequence[Said], end_user: str
) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
    """Run an instance on a conversation; yield the names and data of its events.

    Raises `ApiError`: `SignedOut` when the key is not valid, `Unreachable` when the gateway is away.
    """
    body = {"messages": messages, "stream": True, "end_user": end_user}
    headers = {"X-API-Key": key, "Content-Type": "application/json", "Accept": "text/event-stream"}
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.post(
                f"{gateway_url.rstrip('/')}/v1/runs", data=msgspec.json.encode(body), headers=headers
            ) as answer,
        ):
            if answer.status != 200:
                raise _refusal(answer.status, await answer.read())
            async for event in sse.events(answer.content.iter_any()):
                if event.name != "comment":
                    yield event.name, msgspec.json.decode(event.data)
    except (TimeoutError, aiohttp.ClientError, OSError, msgspec.MsgspecError) as error:
        raise Unreachable(
            503,
            "gateway_unreachable",
            f"The gateway at {gateway_url} cannot be reached. Try again in a moment.",
        ) from error


def _refusal(status: int, body: bytes) -> ApiError:
    """Return the error that the gateway answered: what is wrong is its title, what would help its detail."""
    error = problem(status, body)
    if error.title:
        error.detail = f"{error.title}: {error.detail.removesuffix('.')}."
    return error


async def serves(gateway_url: str, path: str) -> bool:
    """Return whether the gateway has something at a path."""
    return await _status("GET", gateway_url, path) == 200


async def opens(gateway_url: str, key: str, origin: str) -> bool:
    """Return whether the gateway begins a widget's session with that key on pages of that origin."""
    headers = {"X-API-Key": key, "Origin": origin}
    return await _status("POST", gateway_url, "/v1/widget/session:init", json={}, headers=headers) == 200


async def _status(method: str, gateway_url: str, path: str, **sent: Any) -> int:
    """Return the status of a short answer; 0 when there is none."""
    try:
        async with (
            aiohttp.ClientSession(timeout=_SHORT) as session,
            session.request(method, f"{gateway_url.rstrip('/')}{path}", **sent) as answer,
        ):
            return answer.status
    except (TimeoutError, aiohttp.ClientError, OSError):
        return 0
