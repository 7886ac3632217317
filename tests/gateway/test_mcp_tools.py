"""What an instance offers to MCP clients besides `ask`: passages of its knowledge, its connectors' tools, and
progress. Each call is a run: admitted, metered, charged."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio
from equipped_rig import DELIVERY, SLACK_TOOL, Equipped
from gateway_rig import Plane, Tenant
from mcp import MCPDeprecationWarning, MCPError
from test_mcp_client import MODES, agent, connected

from metering.prices import MICRO_PER_CREDIT, PriceBook
from schemas.directory import Limits


@pytest_asyncio.fixture(scope="module")
async def knowing(plane: Plane, equipped: Equipped) -> Tenant:
    """An instance that knows two things."""
    tenant = await agent(plane, instance_fields={"knowledge": True})
    await equipped.learn(tenant)
    return tenant


async def with_slack(equipped: Equipped, **fields: Any) -> Tenant:
    """Return an instance with a connector to Slack."""
    tenant = await agent(equipped.plane, instance_fields={"connectors": True}, **fields)
    await equipped.connect_slack(tenant)
    return tenant


def fee(book: PriceBook, tool: str) -> int:
    return book.per_run + book.tools.get(tool, book.per_tool_call)


async def only_closing(plane: Plane, tenant: Tenant) -> Any:
    ((_, run),) = (await plane.log.runs_of(tenant.instance_id)).items()
    return (await plane.log.of(run.closing.run_id)).closing


@MODES
async def test_passages_are_found_and_the_search_is_a_metered_run(
    plane: Plane, equipped: Equipped, knowing: Tenant, mode: str
) -> None:
    async with connected(equipped.gateway, knowing, mode) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        result = await client.call_tool(
            "search_knowledge", {"query": "How long is delivery of parcels?", "limit": 1}
        )

    assert names == ["ask", "search_knowledge"]
    assert not result.is_error
    told: Any = result.structured_content
    (passage,) = told["passages"]
    assert (passage["text"], passage["title"], passage["page"]) == (DELIVERY, "Handbook", 1)
    assert DELIVERY in result.content[0].text  # type: ignore[union-attr]
    metered = await plane.log.of(told["run_id"])
    closing = metered.closing
    assert (closing.channel, closing.status, closing.tokens_out) == ("mcp", "completed", 0)
    assert [(used.tool, used.status) for used in metered.tools] == [("search_knowledge", "ok")]
    assert closing.credits_micro == fee(plane.book, "search_knowledge")


async def test_an_instance_without_knowledge_has_nothing_to_search(plane: Plane, equipped: Equipped) -> None:
    tenant = await agent(plane)
    async with connected(equipped.gateway, tenant) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        with pytest.raises(MCPError, match="there is no tool 'search_knowledge': use one of ask"):
            await client.call_tool("search_knowledge", {"query": "x"})

    assert names == ["ask"]
    assert await plane.log.runs_of(tenant.instance_id) == {}


@pytest.mark.parametrize(
    "arguments", [{}, {"query": ""}, {"query": "x", "limit": 21}, {"query": "x", "k": 1}]
)
async def test_a_search_says_what_it_takes(
    equipped: Equipped, knowing: Tenant, arguments: dict[str, Any]
) -> None:
    async with connected(equipped.gateway, knowing) as client:
        result = await client.call_tool("search_knowledge", arguments)

    assert result.is_error
    assert "the arguments of `search_knowledge` are: query, limit" in result.content[0].text  # type: ignore[union-attr]


async def test_a_search_is_admitted_like_any_run(plane: Plane, equipped: Equipped) -> None:
    fields = {"instance_fields": {"knowledge": True}}
    price = fee(plane.book, "search_knowledge")
    for tenant, said in (
        (await agent(plane, credits_micro=max(0, price - 1), **fields), "insufficient_credits"),
        (await agent(plane, limits=Limits(requests_per_minute=1), **fields), "rate_limited"),
    ):
        async with connected(equipped.gateway, tenant) as client:
            results = [await client.call_tool("search_knowledge", {"query": "x"}) for _ in range(2)]
        if said == "rate_limited":
            assert "Nothing was found." in results[0].content[0].text  # type: ignore[union-attr]
        assert results[-1].is_error
        assert said in results[-1].content[0].text  # type: ignore[union-attr]


async def test_a_search_that_cannot_be_made_costs_nothing(plane: Plane, fast: Any) -> None:
    runner = await plane.runner(
        fast.provider, CLICKHOUSE_URL="http://127.0.0.1:1", RUNNER_RETRIEVAL_TIMEOUT_MS="500"
    )
    gateway = await plane.gateway(runner)
    tenant = await agent(plane, instance_fields={"knowledge": True})
    async with connected(gateway, tenant) as client:
        result = await client.call_tool("search_knowledge", {"query": "Delivery?"})

    assert result.is_error
    assert "search_knowledge cannot be reached right now" in result.content[0].text  # type: ignore[union-attr]
    closing = await only_closing(plane, tenant)
    assert (closing.status, closing.error_code, closing.credits_micro) == ("failed", "tool_unavailable", 0)


async def test_a_connector_is_a_tool(plane: Plane, equipped: Equipped) -> None:
    tenant = await with_slack(equipped)
    equipped.slack.answer, equipped.slack.asked = {"ok": True}, []
    async with connected(equipped.gateway, tenant) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        result = await client.call_tool(SLACK_TOOL, {"text": "Hello"})

    assert sorted(tools) == ["ask", SLACK_TOOL]
    assert "text" in tools[SLACK_TOOL].input_schema["properties"]
    assert not result.is_error
    assert [said["text"] for said in equipped.slack.asked] == ["Hello"]
    closing = await only_closing(plane, tenant)
    assert (closing.channel, closing.status) == ("mcp", "completed")
    assert closing.credits_micro == fee(plane.book, SLACK_TOOL)


async def test_a_connector_that_refuses_says_why_and_is_charged(plane: Plane, equipped: Equipped) -> None:
    tenant = await with_slack(equipped)
    equipped.slack.answer, equipped.slack.asked = {"ok": False, "error": "channel_not_found"}, []
    async with connected(equipped.gateway, tenant) as client:
        result = await client.call_tool(SLACK_TOOL, {"text": "Hello"})

    assert result.is_error
    assert "channel_not_found" in result.content[0].text  # type: ignore[union-attr]
    closing = await only_closing(plane, tenant)
    assert (closing.status, closing.error_code) == ("failed", "tool_error")
    assert closing.credits_micro == fee(plane.book, SLACK_TOOL)


async def test_nobody_calls_anothers_connector(plane: Plane, equipped: Equipped) -> None:
    await with_slack(equipped)
    other, poor = await agent(plane), await with_slack(equipped, credits_micro=0)
    equipped.slack.asked = []
    async with connected(equipped.gateway, other) as client:
        with pytest.raises(MCPError, match="there is no tool"):
            await client.call_tool(SLACK_TOOL, {"text": "Hello"})
    if fee(plane.book, SLACK_TOOL):
        async with connected(equipped.gateway, poor) as client:
            refused = await client.call_tool(SLACK_TOOL, {"text": "Hello"})
        assert refused.is_error

    assert equipped.slack.asked == []


@MODES
async def test_who_wants_progress_reads_the_answer_as_it_is_written(
    plane: Plane, slow: Any, mode: str
) -> None:
    tenant = await agent(plane, credits_micro=1_000 * MICRO_PER_CREDIT)
    told: list[tuple[float, str]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, message or ""))

    async with connected(slow.gateway, tenant, mode) as client:
        result = await client.call_tool(
            "ask", {"question": "Tell me [[fault:length:80]]"}, progress_callback=hear
        )

    assert not result.is_error
    assert len(told) >= 3
    assert [counted for counted, _ in told] == sorted({counted for counted, _ in told})
    assert "".join(text for _, text in told) == result.content[0].text  # type: ignore[union-attr]


async def test_a_client_of_the_handshake_may_ping(plane: Plane, fast: Any) -> None:
    tenant = await agent(plane)
    async with connected(fast.gateway, tenant, "legacy") as client:
        # Later versions of the protocol have none.
        with pytest.warns(MCPDeprecationWarning):
            await client.send_ping()
        assert client.server_capabilities.tools is not None
