"""`GET /api/v1/instances/{id}/usage/live`: server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AsyncExitStack
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from console_api.auth.service import PeopleDep, TokenDep, person_of
from console_api.instances.service import OwnInstanceDep
from console_api.live.models import LiveEvent
from console_api.live.service import LiveService
from console_api.stores import StoresDep
from kit.problems import Forbidden, Unauthorized

router = APIRouter(prefix="/api/v1/instances/{instance_id}", tags=["usage"])

#: How long after its lifetime a stream may still be sending its last bytes to a slow reader.
_GRACE_S = 5.0

_DESCRIPTION = """\
`text/event-stream`. First a `snapshot`, then a `delta` whenever a figure changed; the data of both is a
`LiveEvent` whose values are **absolute**, so applying one twice is harmless. A delta lists only the windows
that changed. Heartbeat comments show that the stream is alive. After a bounded lifetime comes `bye`;
reconnect with `Last-Event-ID` to go on where the stream ended.
"""


class LiveResponse(StreamingResponse):
    """A stream that ends for certain, also when its reader takes nothing, and then lets go of its hub."""

    def __init__(self, lender: AsyncExitStack, max_lifetime_s: float, content: object) -> None:
        super().__init__(content, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})  # type: ignore[arg-type]
        self._lender = lender
        self._max_lifetime_s = max_lifetime_s + _GRACE_S

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._lender:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._max_lifetime_s):
                    await super().__call__(scope, receive, send)


@router.get(
    "/usage/live",
    summary="Live usage as server-sent events",
    description=_DESCRIPTION,
    response_class=Response,
    responses={200: {"model": LiveEvent, "description": "Data of `snapshot` and `delta` events"}},
)
async def live(
    request: Request,
    *,
    stores: StoresDep,
    people: PeopleDep,
    own: OwnInstanceDep,
    token: TokenDep,
    last_event_id: Annotated[str | None, Header(max_length=128)] = None,
) -> Response:
    service = request.app.state.live
    assert isinstance(service, LiveService)

    async def still_allowed() -> bool:
        try:
            person = await person_of(people, stores, token)
        except (Unauthorized, Forbidden):
            return False
        return person.is_operator or any(place.org_id in ("", own.org_id) for place in person.orgs)

    async with AsyncExitStack() as lender:
        hub = await lender.enter_async_context(service.watch(own))
        events = service.events(hub, last_event_id, still_allowed)
        return LiveResponse(lender.pop_all(), service.max_lifetime_s, events)
