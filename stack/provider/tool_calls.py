"""Which offered tools the model calls: decided by the question, with arguments by the tools' schemas."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from typing import Any
from zoneinfo import available_timezones

import msgspec
from msgspec import Struct

from stack.provider import conversation
from stack.provider.order import Function, NamedTool, Order

_MAX_QUESTION_CHARS = 8_000
_MAX_EXPRESSION_CHARS = 200
_MAX_DEPTH = 5

_SUM = re.compile(r"[\d\s.+\-*/%()]{3,}")
_NOT_A_SUM = re.compile(r"\b\d{4}-\d\d-\d\d\b|\b24/7\b")
_OPERATION = re.compile(r"[\d)]\s*(?:\*\*|//|[+\-*/%])\s*[-(]*\d")
_TIME = re.compile(
    r"\bwhat(?:'s| is| was)? (?:the |today's )?(?:current |exact |local )?(?:time|date|day)\b"
    r"|\b(?:current|local|today's) (?:time|date)\b|\b(?:time|date|day) (?:is it|now|today)\b|\btime in [A-Z]",
    re.I,
)
_ZONE = re.compile(r"\b[A-Z][A-Za-z]+/[A-Z][A-Za-z_]+\b")
_PLACE = re.compile(r"\bin ([A-Z][a-z]+(?: [A-Z][a-z]+)?)")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_QUOTED = re.compile(r"[\"`“]([^\"`“”\n]{1,200})[\"`”]")
#: The signs people write for those a calculator reads.
_SIGNS = str.maketrans({"\u00d7": "*", "\u00f7": "/", "\u2212": "-"})


class Call(Struct):
    """A tool call; `arguments` is JSON."""

    id: str
    name: str
    arguments: str


def wanted(order: Order) -> list[Call]:
    """Return the calls to make, in the order the tools were offered; none once tools have answered."""
    choice = order.tool_choice
    if not order.tools or choice == "none" or conversation.tool_results(order.messages):
        return []
    question = conversation.question(order.messages)[:_MAX_QUESTION_CHARS]
    functions = [tool.function for tool in order.tools]
    if isinstance(choice, NamedTool):
        chosen = [function for function in functions if function.name == choice.function.name][:1]
    else:
        chosen = [function for function in functions if _asked_for(function, question)]
        if not chosen and choice == "required":
            chosen = functions[:1]
    if order.parallel_tool_calls is False:
        chosen = chosen[:1]
    return [_call(at, function, question) for at, function in enumerate(chosen)]


def _asked_for(function: Function, question: str) -> bool:
    if function.name == "calculator":
        return arithmetic(question) is not None
    if function.name == "current_time":
        return _TIME.search(question) is not None
    plain = re.escape(function.name.lower()).replace("_", "[ _-]").replace(r"\-", "[ _-]")
    return re.search(rf"\b{plain}\b", question.lower()) is not None


def arithmetic(question: str) -> str | None:
    """Return the first calculation in a text, such as `12*7`; dates are none."""
    text = _NOT_A_SUM.sub(" ; ", question.translate(_SIGNS))
    for found in _SUM.finditer(text):
        expression = _balanced(found.group().strip(" \t\n.+*/%"))
        if len(expression) <= _MAX_EXPRESSION_CHARS and _OPERATION.search(expression):
            try:
                ast.parse(expression, mode="eval")
            except (SyntaxError, RecursionError, MemoryError):
                continue
            return expression
    return None


def _balanced(expression: str) -> str:
    """Return the expression without parentheses at its ends that have no partner."""
    while expression.count(")") > expression.count("(") and expression.endswith(")"):
        expression = expression[:-1].rstrip()
    while expression.count("(") > expression.count(")") and expression.startswith("("):
        expression = expression[1:].lstrip()
    return expression


def _call(at: int, function: Function, question: str) -> Call:
    arguments = msgspec.json.encode(_arguments(function, question)).decode()
    digest = sha256(f"{at}\n{function.name}\n{question}".encode()).hexdigest()[:24]
    return Call(f"call_{digest}", function.name, arguments)


def _arguments(function: Function, question: str) -> dict[str, Any]:
    schema = function.parameters or {}
    if function.name == "calculator":
        return {"expression": arithmetic(question) or "0"}
    arguments = _filled_object(schema, question, 0)
    if function.name == "current_time" and "timezone" in _members(schema):
        zone = _zone(question)
        if zone or "timezone" in arguments:
            arguments["timezone"] = zone or "UTC"
    return arguments


def _members(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    members = schema.get("properties")
    return members if isinstance(members, Mapping) else {}


def _filled_object(schema: Mapping[str, Any], question: str, depth: int) -> dict[str, Any]:
    """Return the schema's required members, filled."""
    members, required = _members(schema), schema.get("required")
    names = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    return {name: _filled(members.get(name), question, depth + 1) for name in names}


def _filled(schema: Any, question: str, depth: int) -> Any:
    """Return a value a schema allows, from the question where it has one."""
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return question[:200]
    if "const" in schema or "default" in schema:
        return schema.get("const", schema.get("default"))
    options = schema.get("enum")
    if isinstance(options, list) and options:
        named = [o for o in options if isinstance(o, str) and o.lower() in question.lower()]
        return (named or options)[0]
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), None)
    match kind:
        case "integer" | "number":
            value: Any = _number(schema, question, whole=kind == "integer")
        case "array":
            value = [_filled(schema.get("items"), question, depth + 1)]
        case "object":
            value = _filled_object(schema, question, depth)
        case "boolean":
            value = True
        case _:
            quoted = _QUOTED.search(question)
            value = quoted.group(1) if quoted else question[:200]
    return value


def _number(schema: Mapping[str, Any], question: str, *, whole: bool) -> int | float:
    found = _NUMBER.search(question)
    value = float(found.group()[:15]) if found else 1.0
    least, most = schema.get("minimum"), schema.get("maximum")
    if isinstance(least, (int, float)):
        value = max(value, least)
    if isinstance(most, (int, float)):
        value = min(value, most)
    return int(value) if whole or value.is_integer() else value


def _zone(question: str) -> str | None:
    """Return the IANA time zone a question names, or whose city it names."""
    named = _ZONE.search(question)
    if named and named.group() in available_timezones():
        return named.group()
    place = _PLACE.search(question)
    return _cities().get(place.group(1).lower()) if place else None


@cache
def _cities() -> dict[str, str]:
    return {zone.rpartition("/")[2].replace("_", " ").lower(): zone for zone in sorted(available_timezones())}
