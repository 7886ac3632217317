"""Other systems as their public documentation has them: they remember what they were asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from containers import free_ports

from kit.connectors.outbound import Outbound
from kit.settings import ConnectorSettings


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    json: Any


@dataclass
class ThirdParty:
    """A server at one address; `answers` says what it answers to what it is asked."""

    url: str
    answers: Callable[[Asked], web.Response] = field(default=lambda _: web.json_response({}))
    asked: list[Asked] = field(default_factory=list)

    def says(self, *bodies: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Answer one after another, the last one for ever."""
        left, self.asked = list(bodies), []

        def answer(_: Asked) -> web.Response:
            body = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(body, web.Response):
                return body
            return web.json_response(body, status=status, headers=headers)

        self.answers = answer

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        is_json = "json" in request.content_type and body
        asked = Asked(
            request.method,
            request.rel_url.raw_path,
            request.rel_url.raw_query_string,
            dict(request.headers),
            body,
            await request.json() if is_json else None,
        )
        self.asked.append(asked)
        return self.answers(asked)

    def outbound(self, **settings: Any) -> Outbound:
        """Return a way out that leads here, whoever is called."""
        return Outbound(
            ConnectorSettings(
                private_hosts="127.0.0.1",
                hubspot_base_url=self.url,
                slack_base_url=self.url,
                zendesk_base_url=self.url,
                **settings,
            )
        )


@asynccontextmanager
async def third_party() -> AsyncIterator[ThirdParty]:
    port = free_ports("party")["party"]
    party = ThirdParty(f"http://127.0.0.1:{port}")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", party.take)
    serving = web.AppRunner(app)
    await serving.setup()
    await web.TCPSite(serving, "127.0.0.1", port).start()
    try:
        yield party
    finally:
        await serving.cleanup()
