"""The official MCP client against a gateway: a session, its tools, and what a call leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import pytest
from gateway_log import Metered, until
from gateway_rig import Answered, Plane, Service, Tenant, assert_problem
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from waiting import PATIENCE_S

from metering.prices import MICRO_PER_CREDIT
from schemas import keys

_LONG = "Tell me everything [[fault:length:800]]"
_ORIGIN = "https://assistant.example.com"
_CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "ask", "arguments": {"question": "What are your opening hours?"}},
}

MODES = pytest.mark.parametrize("mode", ["auto", "legacy"])


async def agent(plane: Plane, **fields: Any) -> Tenant:
    return await plane.tenant(**{"kind": "mcp", **fields})


@contextlib.asynccontextmanager
async def connected(gateway: Service, tenant: Tenant, mode: str = "auto") -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {tenant.key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=PATIENCE_S) as http,
        Client(streamable_http_client(f"{gateway.url}/v1/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


async def posted(
    plane: Plane, gateway: Service, tenant: Tenant, message: Any = None, **headers: str
) -> Answered:
    body = message if isinstance(message, bytes) else msgspec.json.encode(message or _CALL)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await plane.post(
        gateway,
        "/v1/mcp",
        data=body,
        headers={
            "Authorization": f"Bearer {tenant.key}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            **named,
        },
    )


async def only_run(plane: Plane, tenant: Tenant, *, closed: bool) -> Metered:
    async def found() -> Metered | None:
        runs = list((await plane.log.runs_of(tenant.instance_id)).values())
        assert len(runs) <= 1
        return runs[0] if runs and (runs[0].closed or not closed) else None

    run: Metered = await until(found, "the run is on Kafka", 6)
    return run


@MODES
async def test_a_session_lists_the_tool_and_a_call_is_a_metered_run(
    plane: Plane, fast: Any, mode: str
) -> None:
    tenant = await agent(plane)
    async with connected(fast.gateway, tenant, mode) as client:
        (tool,) = (await client.list_tools()).tools
        result = await client.call_tool("ask", {"question": "What is 17 * 3?"})

    assert (tool.name, tool.title) == ("ask", "Ask Support agent")
    assert tool.input_schema["required"] == ["question"]
    assert not result.is_error
    assert "51" in result.content[0].text  # type: ignore[union-attr]
    told: Any = result.structured_content
    metered = await plane.log.of(told["run_id"])
    closing = metered.closing
    assert (closing.channel, closing.status, closing.key_id) == (
        "mcp",
        "completed",
        tenant.key_record.key_id,
    )
    assert (told["tokens_in"], told["tokens_out"]) == (closing.tokens_in, closing.tokens_out)
    assert int(told["credits"].replace(".", "")) == closing.credits_micro > 0
    assert [used.tool for used in metered.tools] == ["calculator"]


async def test_what_keeps_a_call_from_answering_is_its_result(plane: Plane, fast: Any) -> None:
    poor = await agent(plane, credits_micro=0)
    async with connected(fast.gateway, poor) as client:
        refused = await client.call_tool("ask", {"question": "Hello?"})
        unasked = await client.call_tool("ask", {"query": "Hello?"})
        with pytest.raises(MCPError, match="there is no tool 'delete'"):
            await client.call_tool("delete", {})

    assert refused.is_error
    assert "insufficient_credits: top up the wallet" in refused.content[0].text  # type: ignore[union-attr]
    assert unasked.is_error
    assert "question" in unasked.content[0].text  # type: ignore[union-attr]
    assert await plane.log.runs_of(poor.instance_id) == {}


async def test_a_model_that_fails_is_told_with_its_run(plane: Plane, fast: Any) -> None:
    tenant = await agent(plane)
    async with connected(fast.gateway, tenant) as client:
        result = await client.call_tool("ask", {"question": "a [[fault:status:500]]"})

    assert result.is_error
    run = await only_run(plane, tenant, closed=True)
    assert run.closing.run_id in result.content[0].text  # type: ignore[union-attr]
    assert run.closing.status == "failed"


async def test_a_cancelled_call_cancels_its_run(plane: Plane, slow: Any) -> None:
    tenant = await agent(plane)
    async with connected(slow.gateway, tenant) as client:
        asking = asyncio.create_task(client.call_tool("ask", {"question": _LONG}))
        await only_run(plane, tenant, closed=False)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        run = await only_run(plane, tenant, closed=True)

    assert (run.closing.status, run.closing.error_code) == ("cancelled", "client_disconnected")
    assert run.closing.tokens_out < 400


@pytest.mark.parametrize("version", ["2025-06-18", ""])
async def test_a_client_that_leaves_cancels_its_run(plane: Plane, slow: Any, version: str) -> None:
    tenant = await agent(plane)
    call = {**_CALL, "params": {"name": "ask", "arguments": {"question": _LONG}}}
    headers = {"MCP_Protocol_Version": version} if version else {}
    asking = asyncio.create_task(posted(plane, slow.gateway, tenant, call, **headers))
    await only_run(plane, tenant, closed=False)
    asking.cancel()
    run = await only_run(plane, tenant, closed=True)

    assert (run.closing.status, run.closing.error_code) == ("cancelled", "client_disconnected")


@pytest.mark.parametrize("kind", ["secret", "widget"])
async def test_only_mcp_keys_open_it(plane: Plane, fast: Any, kind: Any) -> None:
    other = await plane.tenant(kind=kind, allowed_origins=(_ORIGIN,))
    assert_problem(await posted(plane, fast.gateway, other, Origin=_ORIGIN), 403, "key_kind_not_allowed")


async def test_an_mcp_key_opens_nothing_else(plane: Plane, fast: Any) -> None:
    tenant = await agent(plane)
    assert_problem(await plane.ask(fast.gateway, tenant), 403, "key_kind_not_allowed")
    answered = await plane.post(
        fast.gateway, "/v1/mcp", data=b"{}", headers={"Authorization": "Bearer rm_mcp_wrong"}
    )
    assert_problem(answered, 401, "invalid_api_key")


async def test_the_plan_and_the_keys_scopes_are_asked(plane: Plane, fast: Any) -> None:
    no_channel = await agent(plane, instance_fields={"channels": ("api",)})
    assert_problem(await posted(plane, fast.gateway, no_channel), 403, "channel_not_allowed")
    reader = await agent(plane, scopes=("runs:read",))
    assert_problem(await posted(plane, fast.gateway, reader), 403, "missing_scope")


async def test_a_page_needs_an_origin_that_the_key_names(plane: Plane, fast: Any) -> None:
    closed = await agent(plane)
    for origin in (_ORIGIN, "null", "http://localhost:3000"):
        refused = await posted(plane, fast.gateway, closed, Origin=origin)
        assert_problem(refused, 403, "origin_not_allowed")
    opened = await agent(plane, allowed_origins=(_ORIGIN,))
    assert (await posted(plane, fast.gateway, opened, Origin=_ORIGIN)).status == 200
    refused = await posted(plane, fast.gateway, opened, Origin="https://evil.example.com")
    assert_problem(refused, 403, "origin_not_allowed")


async def test_messages_are_bounded_and_checked(plane: Plane, fast: Any) -> None:
    tenant = await agent(plane)
    large = await posted(plane, fast.gateway, tenant, b'{"a":"' + b"x" * 600_000 + b'"}')
    assert large.status == 413
    for body in (b"", b"{", b"[" * 10_000, b"[]", b"7"):
        assert (await posted(plane, fast.gateway, tenant, body)).status == 400
    for asked in (plane.get(fast.gateway, "/v1/mcp", headers=tenant.headers),):
        assert_problem(await asked, 405, "method_not_allowed")
    async with connected(fast.gateway, tenant) as client:
        result = await client.call_tool("ask", {"question": "x" * 100_001})
    assert result.is_error
    assert await plane.log.runs_of(tenant.instance_id) == {}


async def test_a_call_holds_credits_like_any_run(plane: Plane, slow: Any) -> None:
    tenant = await agent(plane, credits_micro=1_000 * MICRO_PER_CREDIT)
    asking = asyncio.create_task(
        posted(
            plane,
            slow.gateway,
            tenant,
            {**_CALL, "params": {"name": "ask", "arguments": {"question": _LONG, "max_tokens": 50}}},
        )
    )
    await only_run(plane, tenant, closed=False)
    assert len(await plane.held(tenant)) == 1
    assert await plane.redis.scard(keys.running(tenant.partition, tenant.instance_id)) == 1
    answered = await asking
    assert b'"finish_reason":"length"' in answered.body.replace(b" ", b"").replace(b"\\", b"")
