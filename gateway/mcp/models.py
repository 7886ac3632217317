"""What MCP clients send and get, besides text."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from gateway.answers import Answer
from schemas.runner import Citation, Passage


class Ask(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The arguments of `ask`."""

    question: Annotated[
        str, Meta(min_length=1, max_length=100_000, description="What to ask, with all it has to know.")
    ]
    max_tokens: (
        Annotated[int, Meta(ge=1, le=1_000_000, description="The longest answer of use, in tokens.")] | None
    ) = None


class Search(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The arguments of `search_knowledge`."""

    query: Annotated[
        str, Meta(min_length=1, max_length=4_000, description="What to look for, in words of its own.")
    ]
    limit: Annotated[int, Meta(ge=1, le=20, description="How many passages at most.")] = 5


class AskResult(Struct, frozen=True, kw_only=True):
    """What `ask` answers, besides the text. `credits` is a decimal string: what the run cost."""

    run_id: str
    status: str
    finish_reason: str
    tokens_in: int
    tokens_out: int
    tool_calls: int
    credits: str
    #: What the text refers to as `[number]`.
    citations: tuple[Citation, ...] = ()


class SearchResult(Struct, frozen=True, kw_only=True):
    """What `search_knowledge` found, best first."""

    run_id: str
    credits: str
    passages: tuple[Passage, ...]


def ask_result(answer: Answer) -> AskResult:
    """Return what is told of an answer."""
    used = answer.usage
    return AskResult(
        run_id=answer.run_id,
        status=answer.status,
        finish_reason=answer.finish_reason,
        tokens_in=used.tokens_in,
        tokens_out=used.tokens_out,
        tool_calls=used.tool_calls,
        credits=used.credits,
        citations=answer.citations,
    )


def schema_of(model: type[Struct]) -> dict[str, Any]:
    """Return a struct's JSON Schema as MCP wants it: an object at the top, what it uses under `$defs`."""
    _, parts = msgspec.json.schema_components([model], ref_template="#/$defs/{name}")
    schema: dict[str, Any] = parts.pop(model.__name__)
    return {**schema, "$defs": parts} if parts else schema
