"""What one request is answered with, before it is put on the wire."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Literal

from kit import tokens
from stack.provider import tool_calls
from stack.provider.answers import answer, of_length
from stack.provider.faults import Fault
from stack.provider.order import Order
from stack.provider.prompt_cache import SHORTEST, Prefix, prefixes
from stack.provider.tool_calls import Call

TOKENS_PER_CHUNK = 4

FinishReason = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True, slots=True)
class Reply:
    """A text or tool calls, and why they end there. `prompt_tokens` and `tokens` are counts."""

    prompt_tokens: int
    prefixes: list[Prefix]
    text: str
    calls: list[Call]
    finish: FinishReason
    tokens: int


def compose(order: Order, fault: Fault) -> Reply:
    """Return the reply: a pure function of its arguments."""
    model, limit = order.model, order.limit
    prompt_tokens = tokens.count_messages(order.messages, model)
    found = prefixes(model, order.messages) if prompt_tokens >= SHORTEST else []
    calls = [] if fault.length else tool_calls.wanted(order)
    finish: FinishReason = "tool_calls" if calls else "stop"
    text = ""
    if not calls:
        text = of_length(fault.length, model) if fault.length else answer(model, order.messages)
    used = tokens.count(text + generated(calls), model)
    if limit and used > limit:
        finish = "length"
        text, calls = _start(text, limit, model), _first_calls(calls, limit, model)
        used = tokens.count(text + generated(calls), model)
    return Reply(prompt_tokens, found, text, calls, finish, used)


def generated(calls: list[Call]) -> str:
    """Return what the model wrote to make calls; this is what they count as."""
    return "".join(call.name + call.arguments for call in calls)


def chunks(text: str, model: str) -> list[tuple[str, int]]:
    """Return a text in pieces as it is generated, with their lengths in tokens."""
    encoding = tokens.encoding_for(model)
    ids = encoding.encode_ordinary(text)
    parts = encoding.decode_tokens_bytes(ids)
    # A character may be several tokens: the decoder holds it back until it is whole.
    decode = codecs.getincrementaldecoder("utf-8")("ignore").decode
    starts = range(0, len(parts), TOKENS_PER_CHUNK)
    pieces = [parts[at : at + TOKENS_PER_CHUNK] for at in starts]
    return [(decode(b"".join(piece)), len(piece)) for piece in pieces]


def _start(text: str, limit: int, model: str) -> str:
    """Return the first `limit` tokens of a text; fewer if a character would be cut."""
    encoding = tokens.encoding_for(model)
    ids = encoding.encode_ordinary(text)
    # Cut elsewhere than between words, a text may count as more than the tokens it was cut to.
    for length in range(limit, 0, -1):
        start = encoding.decode_bytes(ids[:length]).decode("utf-8", "ignore")
        if tokens.count(start, model) <= limit:
            return start
    return ""


def _first_calls(calls: list[Call], limit: int, model: str) -> list[Call]:
    """Return the calls as far as the limit lets the model write them; the last one's arguments end early."""
    written: list[Call] = []
    for call in calls:
        left = limit - tokens.count(generated(written) + call.name, model)
        if left < 0:
            break
        arguments = _start(call.arguments, left, model)
        written.append(Call(call.id, call.name, arguments))
        if arguments != call.arguments:
            break
    return written
