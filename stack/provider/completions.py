"""`POST /v1/chat/completions`."""

from __future__ import annotations

import asyncio
import secrets
import time
from hashlib import blake2b

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from stack.provider import conversation, order, wire
from stack.provider.delivery import Delivery
from stack.provider.errors import ApiError
from stack.provider.faults import Fault, Faults
from stack.provider.prompt_cache import PromptCache
from stack.provider.reply import compose
from stack.provider.timing import ClientGone, Connection, Pace
from stack.provider.usage_log import UsageLog

MAX_BODY = 2 * 1024 * 1024
_MAX_DISCARDED = 16 * 1024 * 1024
_MAX_REQUEST_ID = 512
#: Counting a longer prompt than this takes long enough to hold up others.
_INLINE_BYTES = 64 * 1024


class Completions:
    """An ASGI application. Without an `api_key`, everyone is let in."""

    def __init__(self, pace: Pace, api_key: str, log: UsageLog) -> None:
        self._pace, self._api_key, self._log = pace, api_key, log
        self._faults = Faults()
        self._cache = PromptCache()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Returns without ending the response when it is to be cut."""
        began = time.monotonic()
        connection = Connection(receive)
        try:
            headers = Headers(scope=scope)
            check_key(headers, self._api_key)
            body = await _read(receive, headers)
            asked = order.read(body)
            identity = blake2b(body, digest_size=16).digest()
            question = conversation.last_user_text(asked.messages)
            fault = self._faults.of(headers.get("x-fault", ""), question, identity)
            self._refuse(fault)
            inline = len(body) <= _INLINE_BYTES and fault.length <= _INLINE_BYTES // 16
            reply = compose(asked, fault) if inline else await asyncio.to_thread(compose, asked, fault)
            request_id = headers.get("x-client-request-id", "")[:_MAX_REQUEST_ID]
            served = self._log.begin(request_id, asked.model, reply.prompt_tokens)
            cached = self._cache.cached(reply.prefixes, reply.prompt_tokens)
            used = None if fault.no_usage else wire.usage(reply, cached)
            await connection.pause(fault.stall_s)
            delivery = Delivery(
                asked=asked,
                fault=fault,
                reply=reply,
                used=used,
                served=served,
                pace=self._pace,
                began=began + fault.stall_s,
                connection=connection,
                send=send,
            )
            await (delivery.stream() if asked.stream else delivery.whole())
        except ApiError as error:
            await error.response()(scope, receive, send)
        except ClientGone:
            pass
        finally:
            connection.close()

    def _refuse(self, fault: Fault) -> None:
        """Raise the `ApiError` that a fault asks for."""
        if fault.status == 429:
            # The client library prefers the finer of the two, so that fast tests retry fast.
            wait_ms = max(20, round(1_000 * self._pace.scale))
            headers = {"Retry-After": str(-(-wait_ms // 1_000)), "Retry-After-Ms": str(wait_ms)}
            detail = "Rate limit reached for requests. Please try again later."
            raise ApiError(429, "rate_limit_exceeded", detail, headers=headers)
        if fault.status == 500:
            detail = "The server had an error while processing your request. Sorry about that!"
            raise ApiError(500, None, detail)
        if fault.status:
            raise ApiError(fault.status, None, "That model is currently overloaded with other requests.")


def check_key(headers: Headers, api_key: str) -> None:
    """Raise `ApiError` 401 unless the request carries the key."""
    if not api_key:
        return
    given = headers.get("authorization", "")
    if not given:
        raise ApiError(401, None, "You didn't provide an API key.")
    if not secrets.compare_digest(given.encode(), f"Bearer {api_key}".encode()):
        raise ApiError(401, "invalid_api_key", "Incorrect API key provided.")


async def _read(receive: Receive, headers: Headers) -> bytes:
    """Return the body. Raises `ApiError` 413 beyond `MAX_BODY`, `ClientGone` when it breaks off."""
    parts: list[bytes] = []
    size, more = 0, True
    while more and size <= _MAX_DISCARDED:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message.get("body", b"")
        size += len(part)
        if size <= MAX_BODY:
            parts.append(part)
        more = message.get("more_body", False)
    if size > MAX_BODY:
        # What was too much is read all the same: a client still sending would not see the answer.
        close = {"Connection": "close"} if more else {}
        raise ApiError(413, "request_too_large", f"The request is larger than {MAX_BODY} bytes.", None, close)
    return b"".join(parts)
