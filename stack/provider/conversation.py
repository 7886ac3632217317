"""What a request's messages say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stack.provider.faults import without_markers

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered, and the call it answered; `arguments` is JSON as the model wrote it."""

    name: str
    arguments: str
    text: str


def text_of(message: Message) -> str:
    """Return a message's text; of parts, the texts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content or ())


def last_user_text(messages: Sequence[Message]) -> str:
    """Return the text of the last message the user wrote, fault markers included; empty if there is none."""
    return next((text_of(m) for m in reversed(messages) if m["role"] == "user"), "")


def question(messages: Sequence[Message]) -> str:
    """Return what the user asked last, as the model reads it."""
    return without_markers(last_user_text(messages)).strip()


def system_text(messages: Sequence[Message]) -> str:
    """Return all system and developer messages, one after another."""
    return "\n".join(text_of(m) for m in messages if m["role"] in {"system", "developer"})


def context_text(messages: Sequence[Message]) -> str:
    """Return the passages that were put before the question, as `<context …>` in a message of its own."""
    asked = [text_of(m) for m in messages if m["role"] == "user"][:-1]
    return "\n".join(text for text in asked if text.startswith("<context "))


def tool_results(messages: Sequence[Message]) -> list[ToolResult]:
    """Return what tools answered since the user's last message, in order."""
    calls: dict[str, Mapping[str, Any]] = {}
    results: list[ToolResult] = []
    for message in messages:
        if message["role"] == "user":
            results = []
        for call in message.get("tool_calls") or ():
            calls[call["id"]] = call["function"]
        if message["role"] == "tool":
            function = calls[message["tool_call_id"]]
            results.append(ToolResult(function["name"], function["arguments"], text_of(message)))
    return results
