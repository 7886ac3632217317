"""Requests per second and latency of gateway and runner, beside bare uvicorn and LiteLLM's proxy."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from bench_load import Load, drive
from bench_rig import process
from bench_stack import paused

from stack import ports

_ROOT = Path(__file__).resolve().parents[2]
_LITELLM = _ROOT / "build" / "litellm"
_LITELLM_VERSION = "litellm[proxy]==1.*"
#: It will not start without one. Random: the proxy refuses weak ones.
_LITELLM_KEY = f"sk-{secrets.token_hex(32)}"
_QUESTION = "Explain the refund policy for subscriptions"


async def measure(stack: dict[str, Any], folder: Path) -> dict[str, Load | str]:
    """Return a load per subject and number of clients; text where a peer could not be measured."""
    loads: dict[str, Load | str] = {}
    url = f"{stack['gateway_url']}/v1/runs"
    ours = [stack["pids"]["gateway"], stack["pids"]["runner"]]
    body = b'{"input":"%b","max_tokens":40}' % _QUESTION.encode()

    async def ask(clients: int, requests: int) -> Load:
        return await drive(
            url,
            body=body,
            headers={"X-API-Key": stack["demo"]["api_key"]},
            clients=clients,
            requests=requests,
            pids=ours,
        )

    # Their events are acknowledged by Kafka, and wait there: no peer has workers behind it.
    with paused(stack, "metering", "warehouse", "relay", "clickhouse", "console_api", "console"):
        for clients, requests in ((1, 600), (16, 4_000)):
            loads[f"gateway + runner, {clients} clients"] = await ask(clients, requests)
    loads["the same, all else running, 16 clients"] = await ask(16, 2_000)
    loads.update(await _echo(folder))
    loads.update(await _litellm(stack, folder))
    return loads


async def _echo(folder: Path) -> dict[str, Load | str]:
    port = ports.choose({"echo": 0}, {})["echo"]
    argv = ["-m", "uvicorn", "echo_app:app", "--port", str(port), "--loop", "uvloop", "--http", "httptools"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with process([*argv, "--log-level", "warning"], env, folder / "echo.log") as server:
        await _answers(f"http://127.0.0.1:{port}/", server)
        return {
            f"bare uvicorn echo, {clients} clients": await drive(
                f"http://127.0.0.1:{port}/",
                body=b"{}",
                headers={},
                clients=clients,
                requests=requests,
                pids=[server.pid],
            )
            for clients, requests in ((1, 1_500), (16, 8_000))
        }


async def _litellm(stack: dict[str, Any], folder: Path) -> dict[str, Load | str]:
    """Measure LiteLLM's proxy, without any metering, before the same provider."""
    name = "LiteLLM proxy (no metering)"
    python = _LITELLM / "bin" / "python"
    if not python.exists():
        uv = Path(sys.executable).parent / "uv"
        for command in (
            [uv, "venv", "--quiet", "--python", sys.executable, _LITELLM],
            [uv, "pip", "install", "--quiet", "--python", python, _LITELLM_VERSION],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                return {name: f"could not be installed: {done.stderr.strip()[-200:]}"}
    provider = next(p for p in stack["processes"] if p["name"] == "provider")["pid"]
    port_of = psutil.Process(provider).cmdline()
    base = f"http://127.0.0.1:{port_of[port_of.index('--port') + 1]}/v1"
    config = folder / "litellm.yaml"
    config.write_text(
        "model_list:\n  - model_name: gpt-4o-mini\n    litellm_params:\n"
        f"      model: openai/gpt-4o-mini\n      api_base: {base}\n      api_key: none\n"
    )
    port = ports.choose({"litellm": 0}, {})["litellm"]
    command = [str(_LITELLM / "bin" / "litellm"), "--config", str(config), "--port", str(port)]
    env = {**os.environ, "LITELLM_MODE": "PRODUCTION", "LITELLM_MASTER_KEY": _LITELLM_KEY}
    with (folder / "litellm.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=env)
    try:
        await _answers(f"http://127.0.0.1:{port}/health/liveliness", server, 120)
        pids = [server.pid, *(child.pid for child in psutil.Process(server.pid).children(recursive=True))]
        body = (
            b'{"model":"gpt-4o-mini","max_tokens":40,"messages":[{"role":"user","content":"%b"}]}'
            % _QUESTION.encode()
        )
        return {
            f"{name}, {clients} clients": await drive(
                f"http://127.0.0.1:{port}/v1/chat/completions",
                body=body,
                headers={"Content-Type": "application/json", "Authorization": f"Bearer {_LITELLM_KEY}"},
                clients=clients,
                requests=requests,
                pids=pids,
            )
            for clients, requests in ((1, 150), (16, 600))
        }
    except (TimeoutError, RuntimeError, aiohttp.ClientError) as error:
        return {name: f"could not be measured: {error!r}"}
    finally:
        server.terminate()
        server.wait(20)


async def _answers(url: str, server: subprocess.Popen[bytes], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds), aiohttp.ClientSession() as session:
        while True:
            if server.poll() is not None:
                raise RuntimeError(f"it ended with {server.returncode} before it answered")
            try:
                async with session.get(url) as response:
                    if response.status < 500:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
