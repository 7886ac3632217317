"""The provider's HTTP interface."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from kit import tokens
from stack.provider import tool_calls
from stack.provider.answers import answer, exactly, last_user_text
from stack.provider.faults import Fault, Faults, without_marker

MODELS = ("gpt-4o-mini", "gpt-4o", "gpt-4.1", "gpt-4.1-mini", "claude-sonnet-4-5")
_MAX_BODY = 2 * 1024 * 1024
_REMEMBERED = 10_000
_FIRST_TOKEN_S = 0.25
_TOKENS_PER_S = 80.0
_TOKENS_PER_CHUNK = 4
#: OpenAI caches prompt prefixes from 1,024 tokens on, in steps of 128.
_CACHE_FROM, _CACHE_STEP = 1_024, 128

_encode = msgspec.json.Encoder().encode


@dataclass
class Served:
    """What was really generated for one request, so that metering can be compared with it."""

    request_id: str
    model: str
    prompt_tokens: int
    completion_tokens: int = 0
    finished: bool = False


class ApiError(Exception):
    """An error in OpenAI's shape."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code

    def response(self) -> Response:
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        body = {"error": {"message": str(self), "type": kind, "param": None, "code": self.code}}
        headers = {"Retry-After": "0"} if self.status == 429 else None
        return Response(_encode(body), self.status, headers, "application/json")


class Provider:
    """Answers chat completions."""

    def __init__(self, time_scale: float, api_key: str) -> None:
        self._time_scale = time_scale
        self._api_key = api_key
        self._faults = Faults()
        self._prefixes: deque[tuple[str, int]] = deque(maxlen=1_000)
        self.served: deque[Served] = deque(maxlen=_REMEMBERED)

    async def complete(self, request: Request) -> Response:
        """`POST /v1/chat/completions`."""
        try:
            order = await self._order(request)
            messages: Sequence[Mapping[str, Any]] = order["messages"]
            fault = self._faults.of(request.headers.get("x-fault", ""), last_user_text(messages))
            await asyncio.sleep(fault.stall_s)
            if fault.status:
                raise ApiError(fault.status, "injected", f"injected fault {fault.status}")
            return await self._respond(order, fault, request.headers.get("x-client-request-id", ""))
        except ApiError as error:
            return error.response()

    async def _order(self, request: Request) -> dict[str, Any]:
        given = request.headers.get("authorization", "")
        if self._api_key and not secrets.compare_digest(given, f"Bearer {self._api_key}"):
            raise ApiError(401, "invalid_api_key", "Incorrect API key provided.")
        body = await request.body()
        if len(body) > _MAX_BODY:
            raise ApiError(413, "request_too_large", "The request is too large.")
        try:
            order = msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise ApiError(400, "invalid_json", f"We could not parse the JSON body: {error}") from None
        messages = order.get("messages")
        if not isinstance(messages, list) or not messages:
            raise ApiError(400, "invalid_messages", "'messages' must be a non-empty array.")
        if order.get("model") not in MODELS:
            raise ApiError(404, "model_not_found", f"The model '{order.get('model')}' does not exist.")
        return order

    async def _respond(self, order: dict[str, Any], fault: Fault, request_id: str) -> Response:
        model, messages = order["model"], order["messages"]
        calls = tool_calls.wanted(messages, order.get("tools") or ())
        text = "" if calls else without_marker(answer(model, messages))
        if fault.length:
            text, calls = exactly(fault.length, model, text or "word"), []
        limit = order.get("max_completion_tokens") or order.get("max_tokens") or 0
        pieces, finish = _pieces(model, text, limit)
        if calls:
            finish = "tool_calls"
        served = Served(request_id, model, tokens.count_messages(messages, model))
        self.served.append(served)
        head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": model}
        cached = self._cached(messages, served.prompt_tokens)
        if order.get("stream"):
            wanted = bool((order.get("stream_options") or {}).get("include_usage")) and not fault.no_usage
            chunks = self._stream(head, pieces, calls, finish, served, cached if wanted else None, fault)
            return StreamingResponse(chunks, media_type="text/event-stream")
        await self._pause(_FIRST_TOKEN_S + sum(n for _, n in pieces) / _TOKENS_PER_S)
        served.completion_tokens = sum(n for _, n in pieces) + _call_tokens(calls, model)
        served.finished = True
        content = "".join(piece for piece, _ in pieces)
        message = {
            "role": "assistant",
            "content": content or None,
            **({"tool_calls": calls} if calls else {}),
        }
        body = {
            **head,
            "object": "chat.completion",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            **({} if fault.no_usage else {"usage": _usage(served, cached)}),
        }
        return Response(b"{" if fault.bad_json else _encode(body), media_type="application/json")

    async def _stream(
        self,
        head: dict[str, Any],
        pieces: list[tuple[str, int]],
        calls: list[dict[str, Any]],
        finish: str,
        served: Served,
        cached: int | None,
        fault: Fault,
    ) -> AsyncIterator[bytes]:
        head = {**head, "object": "chat.completion.chunk"}
        await self._pause(_FIRST_TOKEN_S)
        buffered = [_frame(head, {"role": "assistant", "content": "" if not calls else None})]
        for sent, (piece, count) in enumerate(pieces):
            if sent == fault.cut_after:
                yield b"".join(buffered)
                raise ConnectionResetError("injected cut")
            buffered.append(_frame(head, {"content": piece}))
            served.completion_tokens += count
            if self._time_scale or len(buffered) >= 32:
                yield b"".join(buffered)
                buffered.clear()
                await self._pause(count / _TOKENS_PER_S)
        for index, call in enumerate(calls):
            buffered += [_frame(head, delta) for delta in _call_deltas(index, call)]
        served.completion_tokens += _call_tokens(calls, served.model)
        if fault.bad_json:
            buffered.append(b"data: {broken\n\n")
        buffered.append(_frame(head, {}, finish))
        if cached is not None:
            usage = {**head, "choices": [], "usage": _usage(served, cached)}
            buffered.append(b"data: %b\n\n" % _encode(usage))
        served.finished = True
        buffered.append(b"data: [DONE]\n\n")
        yield b"".join(buffered)

    async def _pause(self, seconds: float) -> None:
        if self._time_scale:
            await asyncio.sleep(seconds * self._time_scale)

    def _cached(self, messages: Sequence[Mapping[str, Any]], prompt_tokens: int) -> int:
        if prompt_tokens < _CACHE_FROM:
            return 0
        text = _encode(messages).decode()
        best = 0
        for known, known_tokens in self._prefixes:
            common = len(os.path.commonprefix([known, text]))
            best = max(best, known_tokens * common // max(1, len(known)))
        self._prefixes.append((text, prompt_tokens))
        best = min(best, prompt_tokens)
        return best // _CACHE_STEP * _CACHE_STEP if best >= _CACHE_FROM else 0


def _pieces(model: str, text: str, limit: int) -> tuple[list[tuple[str, int]], str]:
    """Return the text in chunks with their token counts, and why it ended."""
    encoding = tokens.encoding_for(model)
    ids = encoding.encode_ordinary(text)
    finish = "length" if limit and len(ids) > limit else "stop"
    ids = ids[:limit] if limit else ids
    steps = range(0, len(ids), _TOKENS_PER_CHUNK)
    return [
        (encoding.decode(ids[at : at + _TOKENS_PER_CHUNK]), len(ids[at : at + _TOKENS_PER_CHUNK]))
        for at in steps
    ], finish


def _frame(head: dict[str, Any], delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: %b\n\n" % _encode({**head, "choices": [choice]})


def _call_deltas(index: int, call: dict[str, Any]) -> list[dict[str, Any]]:
    function = call["function"]
    first = {"index": index, "id": call["id"], "type": "function"}
    deltas = [{"tool_calls": [{**first, "function": {"name": function["name"], "arguments": ""}}]}]
    text = function["arguments"]
    for at in range(0, len(text), 12):
        deltas.append({"tool_calls": [{"index": index, "function": {"arguments": text[at : at + 12]}}]})
    return deltas


def _call_tokens(calls: list[dict[str, Any]], model: str) -> int:
    return sum(
        tokens.count(call["function"]["name"] + call["function"]["arguments"], model) for call in calls
    )


def _usage(served: Served, cached: int) -> dict[str, Any]:
    return {
        "prompt_tokens": served.prompt_tokens,
        "completion_tokens": served.completion_tokens,
        "total_tokens": served.prompt_tokens + served.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def create_app(time_scale: float, api_key: str) -> Starlette:
    """Return the provider. `time_scale` multiplies its delays; an empty key lets everyone in."""
    provider = Provider(time_scale, api_key)
    tokens.encoding_for("")

    async def health(_: Request) -> Response:
        return Response(b'{"status":"ok"}', media_type="application/json")

    async def models(_: Request) -> Response:
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "local"} for name in MODELS]
        return Response(_encode({"object": "list", "data": data}), media_type="application/json")

    async def usage(_: Request) -> Response:
        served = [asdict(one) for one in provider.served]
        return Response(_encode({"served": served}), media_type="application/json")

    return Starlette(
        routes=[
            Route("/healthz", health),
            Route("/v1/models", models),
            Route("/v1/chat/completions", provider.complete, methods=["POST"]),
            Route("/admin/usage", usage),
        ]
    )
