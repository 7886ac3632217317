"""The built-in tools. Each is a JSON-schema description and an async function of its arguments."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kit import tokens
from runner.calculator import CannotCalculate, calculate

Arguments = Mapping[str, Any]


class ToolError(Exception):
    """A tool was called wrongly; the model is told, and may try again."""


@dataclass(frozen=True)
class Tool:
    """A function the model may call."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    call: Callable[[Arguments], Awaitable[str]]
    #: What it answers is ours; what others wrote is fenced before the model reads it.
    trusted: bool = False

    def schema(self) -> dict[str, Any]:
        """Return the tool as the chat-completions API takes it."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}


async def _calculate(arguments: Arguments) -> str:
    expression = arguments.get("expression")
    if not isinstance(expression, str):
        raise ToolError("`expression` must be a text")
    try:
        return calculate(expression)
    except CannotCalculate as error:
        raise ToolError(str(error)) from error


async def _current_time(arguments: Arguments) -> str:
    zone = arguments.get("timezone", "UTC")
    try:
        return datetime.now(ZoneInfo(str(zone))).isoformat(timespec="seconds")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ToolError(f"unknown time zone {zone!r}; use an IANA name such as Europe/Berlin") from error


_BUILT_IN = (
    Tool(
        "calculator",
        "Evaluate an arithmetic expression and return its value.",
        {
            "type": "object",
            "properties": {"expression": {"type": "string", "description": "e.g. (3 + 4) * 12.5"}},
            "required": ["expression"],
        },
        _calculate,
        trusted=True,
    ),
    Tool(
        "current_time",
        "Return the current date and time in a time zone.",
        {
            "type": "object",
            "properties": {"timezone": {"type": "string", "description": "IANA name, UTC by default"}},
        },
        _current_time,
        trusted=True,
    ),
)
BUILT_IN: Mapping[str, Tool] = {tool.name: tool for tool in _BUILT_IN}


def select(names: Iterable[str]) -> dict[str, Tool]:
    """Return the built-in tools of these names; a name that is none is left out."""
    return {name: BUILT_IN[name] for name in names if name in BUILT_IN}


def shortened(result: str, model: str, most_tokens: int) -> str:
    """Return as much of a tool's result as that many tokens are."""
    found = tokens.encode(result, model)
    if len(found) <= most_tokens:
        return result
    return tokens.encoding_for(model).decode_bytes(found[:most_tokens]).decode("utf-8", "ignore")
