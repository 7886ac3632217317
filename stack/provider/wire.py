"""Replies in OpenAI's JSON: one object, or server-sent events."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any

import msgspec

from stack.provider.reply import FinishReason, Reply, chunks
from stack.provider.tool_calls import Call

_FINGERPRINT = "fp_4c1d9a7e20"
_ARGUMENTS_PER_CHUNK = 12  # characters
DONE = b"data: [DONE]\n\n"
BROKEN = b'data: {"id":"chatcmpl-\n\n'

encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Frame:
    """One event: as sent, the text generated for it, and that text's length in tokens."""

    data: bytes
    text: str = ""
    tokens: int = 0


def usage(reply: Reply, cached: int) -> dict[str, Any]:
    """Return what a reply used, in tokens."""
    return {
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.tokens,
        "total_tokens": reply.prompt_tokens + reply.tokens,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def completion(model: str, reply: Reply, used: dict[str, Any] | None) -> bytes:
    """Return the whole reply as one object; without `used`, it says nothing about usage."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None, "annotations": []}
    if reply.calls:
        message["content"] = None
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in reply.calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish}
    body = _head("chat.completion", model) | {"choices": [choice]}
    if used is not None:
        body["usage"] = used
    return encode(body)


def frames(model: str, reply: Reply, used: dict[str, Any] | None, *, usage_null: bool) -> list[Frame]:
    """Return the reply as events, `[DONE]` not included.

    `used` goes into a last event without choices; `usage_null`: the events before it say `"usage": null`.
    """
    head = encode(_head("chat.completion.chunk", model))[:-1]
    # All events are alike but for the delta: the rest is encoded once.
    start = b'data: %b,"choices":[{"index":0,"delta":' % head
    middle = b',"logprobs":null,"finish_reason":%b}]' + (b',"usage":null' if usage_null else b"") + b"}\n\n"
    end = middle % b"null"
    if reply.calls:
        found = [Frame(start + b'{"role":"assistant","content":null}' + end)]
        for index, call in enumerate(reply.calls):
            found += [Frame(start + delta + end, text, size) for delta, text, size in _deltas(index, call)]
    else:
        found = [Frame(start + b'{"role":"assistant","content":"","refusal":null}' + end)]
        content, close = start + b'{"content":', b"}" + end
        for text, size in chunks(reply.text, model):
            found.append(Frame(content + encode(text) + close, text, size))
    found.append(Frame(start + b"{}" + middle % _finish(reply.finish)))
    if used is not None:
        found.append(Frame(b'data: %b,"choices":[],"usage":%b}\n\n' % (head, encode(used))))
    return found


def _head(kind: str, model: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "service_tier": "default",
        "system_fingerprint": _FINGERPRINT,
    }


def _finish(reason: FinishReason) -> bytes:
    return b'"%b"' % reason.encode()


def _deltas(index: int, call: Call) -> list[tuple[bytes, str, int]]:
    """Return a call in pieces: the delta, the text generated for it, roughly its tokens."""
    function = {"name": call.name, "arguments": ""}
    first = {"index": index, "id": call.id, "type": "function", "function": function}
    found = [(encode({"tool_calls": [first]}), call.name, 2)]
    for at in range(0, len(call.arguments), _ARGUMENTS_PER_CHUNK):
        text = call.arguments[at : at + _ARGUMENTS_PER_CHUNK]
        delta = {"tool_calls": [{"index": index, "function": {"arguments": text}}]}
        found.append((encode(delta), text, 4))
    return found
