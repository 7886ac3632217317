"""Corrections by the command line on a running stack: what they change, and that they apply once."""

from __future__ import annotations

import asyncio
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from containers import environment
from waiting import PATIENCE_S, eventually

Stack = dict[str, Any]


async def runmeter(stack: Stack, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stack.cli", *arguments),
        env=environment(Path(stack["data_dir"])),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode or 0, said.decode()


async def charged(stack: Stack) -> int:
    """Return all micro-credits that the demo's wallet was charged."""
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        headers = {"Authorization": f"Bearer {stack['demo']['admin_token']}"}
        answer = await client.get(f"{stack['console_api_url']}/api/v1/wallet", headers=headers)
    assert answer.status_code == 200, answer.text
    micro = answer.json()["charged_micro"]
    assert isinstance(micro, int)
    return micro


async def settled_run(stack: Stack) -> tuple[str, int]:
    """Return a run that the warehouse knows, and what it cost."""
    before = await charged(stack)
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        answer = await client.post(
            f"{stack['gateway_url']}/v1/runs",
            json={"input": "Which delivery options do you offer?", "max_tokens": 60},
            headers={"X-API-Key": stack["demo"]["api_key"]},
        )
    run_id = answer.json()["run_id"]
    micro = int(Decimal(answer.json()["usage"]["credits"]) * 1_000_000)
    assert micro > 0

    async def known() -> bool:
        status, _ = await runmeter(stack, "correct", "void", "--run", run_id, "--dry-run")
        return status == 0 and await charged(stack) == before + micro

    await eventually(known, "the run is charged and stored")
    return run_id, micro


async def becomes(stack: Stack, micro: int) -> None:
    async def reached() -> bool:
        return await charged(stack) == micro

    await eventually(reached, f"the wallet was charged {micro} in all")


async def exact(stack: Stack) -> None:
    status, said = await runmeter(stack, "reconcile", "--json", "--wait", "60")
    assert status == 0, said


async def test_a_void_is_given_back_once(stack: Stack) -> None:
    run_id, micro = await settled_run(stack)
    before = await charged(stack)

    status, said = await runmeter(stack, "correct", "void", "--run", run_id, "--reason", "ticket 4711")
    assert status == 0, said
    assert "1 runs corrected" in said
    await becomes(stack, before - micro)

    status, said = await runmeter(stack, "correct", "void", "--run", run_id, "--reason", "ticket 4711")
    assert "+0.000000 credits charged" in said
    await exact(stack)
    assert await charged(stack) == before - micro


async def test_an_unknown_run_and_a_wrong_file_are_refused_with_the_reason(
    stack: Stack, tmp_path: Path
) -> None:
    status, said = await runmeter(stack, "correct", "void", "--run", "run_nowhere")
    assert (status, "there is no such run" in said) == (1, True)
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text('{"id": "a", "at": "2026-01-01T00:00:00Z", "model": "m", "output": 1}\n{"id": "b"}\n')
    instance = stack["demo"]["instance_id"]
    status, said = await runmeter(stack, "correct", "backfill", str(wrong), "--instance", instance)
    assert status == 1
    assert "wrong.jsonl:2" in said.replace("\n", "")
    status, said = await runmeter(stack, "correct", "backfill", str(wrong), "--instance", "inst_nowhere")
    assert status == 1


async def test_late_usage_is_charged_once_as_an_adjustment_of_today(stack: Stack, tmp_path: Path) -> None:
    before = await charged(stack)
    late = tmp_path / "late.jsonl"
    lines = [
        {
            "id": f"a{n}",
            "at": "2026-01-31T12:00:00Z",
            "model": "gpt-4o",
            "input_uncached": 1_000,
            "output": 100,
        }
        for n in range(3)
    ]
    late.write_text("".join(json.dumps(line) + "\n" for line in [*lines, lines[0]]))
    asked = ("correct", "backfill", str(late), "--instance", stack["demo"]["instance_id"], "--source", "old")

    status, said = await runmeter(stack, *asked, "--dry-run")
    assert status == 0, said
    assert "3 runs would change" in said
    assert await charged(stack) == before
    micro = round(float(said.split(":")[-1].split()[0]) * 1_000_000)
    assert micro > 0

    for _ in range(2):
        status, said = await runmeter(stack, *asked)
        assert status == 0, said
        await becomes(stack, before + micro)
    await exact(stack)
    status, said = await runmeter(stack, *asked)
    assert "0 runs corrected" in said
    await exact(stack)
    assert await charged(stack) == before + micro

    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        found = await client.get(
            f"{stack['console_api_url']}/api/v1/wallet/ledger",
            params={"limit": 100},
            headers={"Authorization": f"Bearer {stack['demo']['admin_token']}"},
        )
    entries = [e for e in found.json()["entries"] if "old a" in e["reason"]]
    assert {entry["kind"] for entry in entries} == {"adjustment"}
    assert -sum(entry["amount_micro"] for entry in entries) == micro
    assert all("2026-01-31" in entry["reason"] for entry in entries)
