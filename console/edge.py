"""What every request passes: security headers and a body limit. Plain ASGI, so that web sockets pass."""

from __future__ import annotations

import re

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Of one file of knowledge. The API may allow more; what is uploaded here is held in memory on its way there.
MAX_FILE_BYTES = 25 * 1024 * 1024
TOO_BIG = "That file is too big: at most 25 MB."
#: A browser's messages, where it has no web socket; those of a socket have the same limit.
MAX_BODY_BYTES = 1024 * 1024
_UPLOAD = re.compile(r"/_nicegui/client/[^/]+/upload/[^/]+$")
#: What a form adds to the file in it.
_FORM_BYTES = 64 * 1024

#: NiceGUI compiles templates in the browser, hence 'unsafe-eval'; nothing is loaded from elsewhere.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: https:; font-src 'self' data:; connect-src 'self' ws: wss:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
#: A logo may lie anywhere (https); the widget's script, style and calls come from the gateway.
_PREVIEW = "/preview/"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


def _preview_policy(gateway_url: str) -> str:
    """Return the policy of a page that holds nothing but the gateway's widget, framed by our own pages."""
    return (
        f"default-src 'none'; script-src {gateway_url}; connect-src {gateway_url}; "
        f"style-src 'unsafe-inline' {gateway_url}; img-src https: data: {gateway_url}; "
        f"font-src {gateway_url}; frame-src {gateway_url}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'"
    )


class Edge:
    """Adds headers to every answer, and refuses bodies that are too large. Whoever has left gets none."""

    def __init__(self, app: ASGIApp, gateway_url: str) -> None:
        self._inner = app
        self._gateway_url = gateway_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        gone = False

        async def heard() -> Message:
            nonlocal gone
            message = await receive()
            gone = gone or message["type"] == "http.disconnect"
            return message

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._secure(scope, MutableHeaders(scope=message))
            await send(message)

        try:
            await _limited(self._inner, scope, heard, secured)
        except RuntimeError as error:
            # How Starlette's middleware ends a request whose client has left before it was answered.
            if not gone or str(error) != "No response returned.":
                raise

    def _secure(self, scope: Scope, headers: MutableHeaders) -> None:
        framed = scope["path"].startswith(_PREVIEW)
        headers.setdefault(
            "Content-Security-Policy", _preview_policy(self._gateway_url) if framed else _POLICY
        )
        headers.setdefault("X-Frame-Options", "SAMEORIGIN" if framed else "DENY")
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)


async def _limited(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a body by the length it declares, and by what arrives of it: it need not declare any."""
    uploads = _UPLOAD.match(scope["path"]) is not None
    limit = MAX_FILE_BYTES + _FORM_BYTES if uploads else MAX_BODY_BYTES
    detail = TOO_BIG if uploads else f"Send at most {limit} bytes."
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if not declared.isdigit() or int(declared) > limit:
        await PlainTextResponse(detail, 413)(scope, receive, send)
        return
    received = 0
    refused = answering = False

    async def limited() -> Message:
        nonlocal received, refused
        message = await receive()
        received += len(message.get("body", b""))
        if received <= limit:
            return message
        if not refused and not answering:
            refused = True
            await PlainTextResponse(detail, 413)(scope, receive, send)
        # An error here would be wrapped on its way through the app's middleware; that one has left is known.
        return {"type": "http.disconnect"}

    async def noting(message: Message) -> None:
        nonlocal answering
        if not refused:
            answering = True
            await send(message)

    try:
        await app(scope, limited, noting)
    except Exception:
        if not refused:
            raise
