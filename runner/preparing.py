"""What a run begins with: its messages, its tools, and the passages that its answer may rest on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.connectors.loading import Connectors
from runner.memory import Memory
from runner.prompt import assemble, context_budget, fitting_passages, fitting_turns, listed, question_of
from runner.retrieval import KnowledgeAway, Retrieval, Whose
from runner.tools import Arguments, Tool, ToolError, select
from schemas.runner import ExecuteRequest, Passage

_MAX_FOUND = 5


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a run's context and tools come from."""

    retrieval: Retrieval
    memory: Memory
    connectors: Connectors
    #: Passages put before the model at once.
    passages: int


@dataclass
class Prepared:
    """A run that is ready to ask its model. `passages` grows as the model searches for more."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    tools: dict[str, Tool] = field(default_factory=dict)
    passages: list[Passage] = field(default_factory=list)


async def prepare(run: ExecuteRequest, sources: Sources) -> Prepared:
    """Gather what there is, at once. Nothing that is away keeps a run from its answer."""
    prepared = Prepared(tools=select(run.tools))
    found, turns, others = await asyncio.gather(
        _found(run, sources), sources.memory.load(run), sources.connectors.tools(run)
    )
    prepared.tools |= _unlike(prepared.tools, others)
    if run.knowledge:
        prepared.tools["search_knowledge"] = _search_tool(run, sources.retrieval, prepared)
    for_passages, for_turns = context_budget(run, bool(found), bool(turns))
    prepared.passages = fitting_passages(found, run.model, for_passages)
    prepared.messages = assemble(
        run,
        prepared.passages,
        fitting_turns(turns, run.model, for_turns),
        strangers=any(not tool.trusted for tool in prepared.tools.values()),
    )
    return prepared


async def _found(run: ExecuteRequest, sources: Sources) -> list[Passage]:
    if not run.knowledge or not run.max_context_tokens:
        return []
    try:
        whose = Whose(run.tenant_id, run.instance_id)
        return await sources.retrieval.search(whose, question_of(run), sources.passages)
    except KnowledgeAway:
        return []


def _unlike(known: Mapping[str, Tool], more: Mapping[str, Tool]) -> dict[str, Tool]:
    return {name: tool for name, tool in more.items() if name not in known}


def _search_tool(run: ExecuteRequest, retrieval: Retrieval, prepared: Prepared) -> Tool:
    whose = Whose(run.tenant_id, run.instance_id)

    async def search(arguments: Arguments) -> str:
        query = arguments.get("query")
        if not isinstance(query, str) or not query.strip():
            raise ToolError("`query` must be a text")
        try:
            found = await retrieval.search(whose, query, _MAX_FOUND)
        except KnowledgeAway as error:
            raise ToolError(str(error)) from error
        known = {(passage.source_id, passage.text) for passage in prepared.passages}
        new = [passage for passage in found if (passage.source_id, passage.text) not in known]
        first = len(prepared.passages) + 1
        prepared.passages += new
        return listed(new, first) or "Nothing more is known about that."

    return Tool(
        "search_knowledge",
        "Search the documents this agent knows, for what the context does not answer.",
        {
            "type": "object",
            "properties": {"query": {"type": "string", "description": "What to look for"}},
            "required": ["query"],
        },
        search,
    )
