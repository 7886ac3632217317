"""`ENV` and variables decide which installation is tested; the code is the same."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from environment import Target
from waiting import eventually
from whole_stack import QA_CONSOLE

ROOT = Path(__file__).parents[1]
QA_GATEWAY, QA_API = "gateway.qa.runmeter.example", "console-api.qa.runmeter.example"
PASSED = 4


async def test_qa_hosts_are_tested_by_environment_alone(
    target: Target, request: pytest.FixtureRequest
) -> None:
    if target.name != "local":
        pytest.skip("shows the same stack under other names: needs a local one")
    stack: dict[str, Any] = request.getfixturevalue("stack")
    base = _named(stack["console_url"], QA_CONSOLE, stack["qa_console_port"])
    inherited = {
        # Where NiceGUI sees a test running, it serves nothing.
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST", "NICEGUI"))
    }
    console = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "console"),
        cwd=ROOT,
        env={
            **inherited,
            "RUNMETER_DATA_DIR": f"{stack['data_dir']}/qa",
            "RUNMETER_CONSOLE_PORT": str(stack["qa_console_port"]),
            "RUNMETER_CONSOLE_BASE_URL": base,
            "RUNMETER_CONSOLE_API_URL": stack["console_api_url"],
            "RUNMETER_CONSOLE_GATEWAY_URL": stack["gateway_url"],
            "RUNMETER_CONSOLE_OIDC_ISSUER": stack["issuer_url"],
        },
    )
    try:
        here = urlsplit(stack["console_url"]).hostname or ""
        health = _named(stack["console_url"], here, stack["qa_console_port"]) + "/healthz"
        async with aiohttp.ClientSession() as session:
            await eventually(lambda: _answers(session, health), "the console answers")
        suite = await asyncio.to_thread(_run_suite, base, stack, inherited, target)
        assert f"{PASSED} passed" in suite.stdout, suite.stdout + suite.stderr
        assert "skipped" not in suite.stdout
    finally:
        console.terminate()
        await console.wait()


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


def _named(url: str, host: str, port: int | None = None) -> str:
    """The same address under another host's name."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{host}:{port or parts.port}").geturl()


def _run_suite(
    base: str, stack: dict[str, Any], inherited: dict[str, str], target: Target
) -> subprocess.CompletedProcess[str]:
    told = {
        "ENV": "qa",
        "E2E_BASE_URL": base,
        "E2E_CP_URL": _named(stack["console_api_url"], QA_API),
        "E2E_GATEWAY_URL": _named(stack["gateway_url"], QA_GATEWAY),
        "E2E_HOSTS": ",".join(
            f"{name}={urlsplit(stack['gateway_url']).hostname}" for name in (QA_CONSOLE, QA_GATEWAY, QA_API)
        ),
        "E2E_USER": target.user,
        "E2E_PASSWORD": target.password,
    }
    chosen = [
        "e2e/test_a_run_is_metered.py",
        "e2e/test_every_page.py",
        "-k",
        "question or key_opens or control_plane or (tab_of and usage)",
    ]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen],
        cwd=ROOT,
        env={**inherited, **told},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
