"""Code that calls an instance, with the gateway's real address."""

from __future__ import annotations

import json
from collections.abc import Callable

#: Where the gateway serves the widget's script and its MCP endpoint.
WIDGET_SCRIPT, MCP_PATH = "/widget.js", "/v1/mcp"


def _curl(gateway: str) -> str:
    return (
        f"curl -N {gateway}/v1/runs \\\n"
        '  -H "X-API-Key: YOUR_KEY" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        '  -d \'{"input": "What are your opening hours?", "stream": true}\''
    )


def _python(gateway: str) -> str:
    return (
        "import httpx\n\n"
        "answer = httpx.post(\n"
        f'    "{gateway}/v1/runs",\n'
        '    headers={"X-API-Key": "YOUR_KEY"},\n'
        '    json={"input": "What are your opening hours?"},\n'
        "    timeout=60,\n"
        ")\n"
        "answer.raise_for_status()\n"
        'print(answer.json()["output"])'
    )


def _javascript(gateway: str) -> str:
    return (
        f'const answer = await fetch("{gateway}/v1/runs", {{\n'
        '  method: "POST",\n'
        '  headers: { "X-API-Key": process.env.RUNMETER_KEY, "Content-Type": "application/json" },\n'
        '  body: JSON.stringify({ input: "What are your opening hours?" }),\n'
        "});\n"
        "if (!answer.ok) throw new Error((await answer.json()).detail);\n"
        "console.log((await answer.json()).output);"
    )


def _mcp(gateway: str) -> str:
    server = {"type": "http", "url": f"{gateway}{MCP_PATH}", "headers": {"X-API-Key": "YOUR_MCP_KEY"}}
    return json.dumps({"mcpServers": {"runmeter": server}}, indent=2)


QUICK_STARTS: dict[str, tuple[str, Callable[[str], str]]] = {
    "curl": ("curl", _curl),
    "python": ("Python", _python),
    "javascript": ("JavaScript", _javascript),
    "mcp": ("MCP", _mcp),
}


def widget(gateway: str, key: str) -> str:
    """Return what a page embeds the chat widget with."""
    return f'<script src="{gateway}{WIDGET_SCRIPT}" data-key="{key}" async></script>'
