"""What a request says, in its query or in a form: bounded, and every name once."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl

from starlette.requests import Request

from stack.issuer.errors import OAuthError

_MAX_BYTES = 16 * 1024
_MAX_FIELDS = 40
_READ_WITHIN_S = 10


async def of(request: Request) -> dict[str, str]:
    """Return the parameters of a GET's query or a POST's form. Raises `OAuthError`."""
    if request.method == "POST":
        return await of_form(request)
    query = request.scope["query_string"]
    if len(query) > _MAX_BYTES:
        raise OAuthError("invalid_request", f"The query has more than {_MAX_BYTES} bytes.", status=414)
    return _parsed(query)


async def of_form(request: Request) -> dict[str, str]:
    """Return the parameters of a form. Raises `OAuthError`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise OAuthError("invalid_request", "Send a body of type application/x-www-form-urlencoded.")
    try:
        async with asyncio.timeout(_READ_WITHIN_S):
            return _parsed(await _body(request))
    except TimeoutError:
        raise OAuthError("invalid_request", "The body did not arrive in time.", status=408) from None


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MAX_BYTES:
            raise OAuthError("invalid_request", f"The body has more than {_MAX_BYTES} bytes.", status=413)
    return bytes(body)


def _parsed(text: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(text.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError:
        raise OAuthError(
            "invalid_request", f"Send at most {_MAX_FIELDS} URL-encoded parameters in UTF-8."
        ) from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise OAuthError("invalid_request", "Send every parameter once.")
    # A parameter without a value counts as left out (RFC 6749, 3.1).
    return {name: value for name, value in found.items() if value}
