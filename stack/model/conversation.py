"""What the messages of a request say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stack.model.chat_request import CalledFunction, Message
from stack.model.faults import without_markers


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered to a call."""

    call: CalledFunction
    text: str


def text_of(message: Message) -> str:
    """Return a message's text; of parts, the texts."""
    content = message.content
    return content if isinstance(content, str) else " ".join(part.text for part in content or ())


def last_user_text(messages: Sequence[Message]) -> str:
    """Return what the user wrote last, fault markers included; empty if nothing."""
    return next((text_of(m) for m in reversed(messages) if m.role == "user"), "")


def question(messages: Sequence[Message]) -> str:
    """Return what the user wrote last, as the model reads it."""
    return without_markers(last_user_text(messages)).strip()


def instructions(messages: Sequence[Message]) -> str:
    """Return all system and developer messages, one after another."""
    return "\n".join(text_of(m) for m in messages if m.role in {"system", "developer"})


def tool_results(messages: Sequence[Message]) -> list[ToolResult]:
    """Return what tools answered since the user wrote last, in order."""
    calls: dict[str, CalledFunction] = {}
    results: list[ToolResult] = []
    for message in messages:
        if message.role == "user":
            results = []
        elif message.role == "assistant":
            calls |= {call.id: call.function for call in message.tool_calls or ()}
        elif message.role == "tool" and message.tool_call_id in calls:
            results.append(ToolResult(calls[message.tool_call_id], text_of(message)))
    return results
