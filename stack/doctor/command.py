"""`runmeter doctor [--json]`."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Callable

import msgspec
from aiokafka.errors import KafkaError
from clickhouse_connect.driver.exceptions import ClickHouseError
from redis.exceptions import RedisError
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from kit.settings import OidcSettings, RunnerSettings, load
from stack import reconcile, up
from stack.doctor import history, hot, log, machine, neighbours
from stack.doctor.findings import Finding, Place, problem

FINE, WARNINGS, PROBLEMS = 0, 1, 2
_AWAY = (KafkaError, RedisError, ClickHouseError, SQLAlchemyError, OSError, TimeoutError)
#: A look that takes longer than this says that its store does not answer.
_PATIENCE_S = 30.0
_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}

Look = Callable[[Place], AsyncIterator[Finding]]
#: What is looked at → how, and the setting to correct when it cannot be reached.
_LOOKS: dict[str, tuple[Look, str]] = {
    "machine": (machine.look, "RUNMETER_DATA_DIR"),
    "kafka": (log.look, "RUNMETER_KAFKA_BOOTSTRAP"),
    "redis": (hot.look, "RUNMETER_REDIS_URL"),
    "clickhouse": (history.look, "RUNMETER_CLICKHOUSE_URL"),
    "database": (history.look_at_database, "RUNMETER_DATABASE_URL"),
    "neighbours": (neighbours.look, "RUNMETER_RUNNER_MODEL_BASE_URL"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Look, and say; 0: all is well, 1: there are warnings, 2: something does not work."""
    found = machine.wrong_settings() or asyncio.run(examined(_place()))
    status = _status(found)
    if args.json:
        print(msgspec.json.encode({"status": status, "findings": found}).decode())
    else:
        _show(found)
    return status


async def examined(place: Place) -> list[Finding]:
    """Return all findings; the looks are taken side by side."""
    looked = await asyncio.gather(*[_looked(name, place) for name in _LOOKS])
    return [finding for findings in looked for finding in findings]


async def _looked(name: str, place: Place) -> list[Finding]:
    look, variable = _LOOKS[name]
    found: list[Finding] = []
    try:
        async with asyncio.timeout(_PATIENCE_S):
            async for finding in look(place):
                found.append(finding)
    except _AWAY as error:
        said = f"does not answer: {type(error).__name__}"
        found.append(problem(name, said, f"start it, or correct {variable}"))
    return found


def _place() -> Place:
    kafka, redis, clickhouse = reconcile.settings()
    model, issuer = load(RunnerSettings).model_base_url, load(OidcSettings).issuer
    running = up.running(up.data_dir())
    if running is None:
        return Place(up.data_dir(), kafka, redis, clickhouse, model, issuer, {})
    if provider := running.ports.get("provider"):
        model = f"http://127.0.0.1:{provider}/v1"
    return Place(
        up.data_dir(), kafka, redis, clickhouse, model, running.urls.issuer_url or issuer, running.ports
    )


def _status(found: list[Finding]) -> int:
    levels = {finding.level for finding in found}
    return PROBLEMS if "problem" in levels else WARNINGS if "warning" in levels else FINE


def _show(found: list[Finding]) -> None:
    console = Console()
    for finding in found:
        console.print(f"[{_COLOURS[finding.level]}]{finding.level:8}[/] {finding.check}: ", end="")
        console.print(finding.said, markup=False, highlight=False)
        if finding.remedy:
            console.print(f"         → {finding.remedy}", markup=False, highlight=False)
