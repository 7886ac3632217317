"""The code that the console shows for calling an instance, run as it stands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from waiting import PATIENCE_S, eventually

from console.pages.instance.snippets import QUICK_STARTS

Stack = dict[str, Any]

_RUN_BY = {
    "curl": ["bash", "-c"],
    "python": [sys.executable, "-c"],
    "javascript": ["node", "--input-type=module", "-e"],
}


def _code(stack: Stack, language: str, key: str) -> str:
    _, make = QUICK_STARTS[language]
    return make(stack["gateway_url"]).replace("YOUR_KEY", key).replace("YOUR_MCP_KEY", key)


@pytest.mark.parametrize("language", sorted(_RUN_BY))
def test_the_code_of_a_quick_start_is_answered(stack: Stack, language: str) -> None:
    command, key = _RUN_BY[language], stack["demo"]["api_key"]
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]} on the PATH")

    ran = subprocess.run(
        [*command, _code(stack, language, key)],
        env={**os.environ, "RUNMETER_KEY": key},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.split()) > 5, "the model's answer"
    assert key not in ran.stdout + ran.stderr


async def until_opened(server: dict[str, Any]) -> None:
    """Wait until the gateway knows the key."""
    async with httpx.AsyncClient(headers=server["headers"], timeout=PATIENCE_S) as http:

        async def opened() -> bool:
            answer = await http.post(server["url"], json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
            return answer.status_code != 401

        await eventually(opened, "the key opens the instance")


async def test_the_mcp_quick_start_is_what_a_client_needs(stack: Stack) -> None:
    demo = stack["demo"]
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {demo['admin_token']}"}) as owner:
        made = await owner.post(
            f"{stack['console_api_url']}/api/v1/instances/{demo['instance_id']}/api_keys",
            json={"kind": "mcp", "name": "quick start"},
        )
    assert made.status_code == 201, made.text
    server = json.loads(_code(stack, "mcp", made.json()["key"]))["mcpServers"]["runmeter"]
    assert server["type"] == "http"
    await until_opened(server)

    async with (
        httpx2.AsyncClient(headers=server["headers"], timeout=PATIENCE_S) as http,
        Client(streamable_http_client(server["url"], http_client=http)) as client,
    ):
        tools = [tool.name for tool in (await client.list_tools()).tools]

    assert "ask" in tools
