"""Which offered tools the provider calls: decided by the question's words, with arguments by the schema."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from stack.provider.answers import Message, last_user_text

_ARITHMETIC = re.compile(r"\(?\d[\d\s.+\-*/()]*[+\-*/][\d\s.+\-*/()]*\d\)?")
_TIME = re.compile(r"\b(time|date|clock|today)\b", re.IGNORECASE)


def wanted(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the tool calls to make, in OpenAI's shape; none once the tools have answered."""
    if not tools or (messages and messages[-1].get("role") == "tool"):
        return []
    question = last_user_text(messages)
    calls = []
    for tool in tools:
        function = tool.get("function", {})
        arguments = _arguments(str(function.get("name", "")), function, question)
        if arguments is not None:
            calls.append(_call(str(function["name"]), arguments, question))
    return calls


def _arguments(name: str, function: Mapping[str, Any], question: str) -> dict[str, Any] | None:
    """Return a tool's arguments if the question asks for it."""
    if name == "calculator":
        found = _ARITHMETIC.search(question)
        return {"expression": found.group().strip()} if found else None
    if name == "current_time":
        return {"timezone": "UTC"} if _TIME.search(question) else None
    if not name or name.lower().replace("_", " ") not in question.lower().replace("_", " "):
        return None
    schema = function.get("parameters", {})
    properties = schema.get("properties", {})
    return {field: _filled(properties.get(field, {}), question) for field in schema.get("required", ())}


def _filled(schema: Mapping[str, Any], question: str) -> Any:
    if schema.get("enum"):
        return schema["enum"][0]
    match schema.get("type"):
        case "integer" | "number":
            found = re.search(r"\d+", question)
            return int(found.group()) if found else 1
        case "boolean":
            return True
        case "array":
            return []
        case "object":
            return {}
        case _:
            return question[:200]


def _call(name: str, arguments: dict[str, Any], question: str) -> dict[str, Any]:
    digest = sha256(f"{name}\n{question}".encode()).hexdigest()[:24]
    text = msgspec.json.encode(arguments).decode()
    return {"id": f"call_{digest}", "type": "function", "function": {"name": name, "arguments": text}}
