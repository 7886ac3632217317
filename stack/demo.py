"""`runmeter demo`: the stack under realistic load, watched live, then checked to the micro-credit."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import time
from pathlib import Path

from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import ClickHouseError
from redis.asyncio import Redis
from redis.exceptions import RedisError
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from kit import clickhouse_client, redis_client
from kit.settings import ClickHouseSettings, KafkaSettings, RedisSettings
from metering.prices import MICRO_PER_CREDIT
from stack import up
from stack.agreement import FIGURES, Agreement, compare
from stack.errors import StackError
from stack.state import Process, State
from stack.traffic import Tally, Traffic

_REFRESH_S = 0.5
#: How long the pipeline may take to come to rest after the last answer: a lease, and a worker's restart.
_SETTLE_S = 90.0
_KILLED = ("gateway", "runner", "metering", "warehouse")
_KILL_AFTER_S = (1.0, 3.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--runs", type=int, help="how many runs to send (default: until Ctrl-C)")
    parser.add_argument("--exit", action="store_true", help="stop the stack and exit when all runs agree")
    parser.add_argument("--clients", type=int, default=8, help="how many clients send at once")
    parser.add_argument("--seed", type=int, default=1, help="makes the stream of runs repeatable")
    parser.add_argument(
        "--kill", action="store_true", help=f"meanwhile kill -9 {', '.join(_KILLED)}, each once"
    )


def run(args: argparse.Namespace) -> int:
    """Start the stack if it does not run, send the runs, compare; 0 when everything agrees."""
    if args.exit and args.runs is None:
        raise StackError("--exit needs --runs: without a number the demo goes on until it is stopped")
    folder = up.data_dir()
    began = time.time()
    already = up.running(folder)
    if already is None:
        print("starting Kafka, Valkey, ClickHouse and the services …", flush=True)
    state = already or up.start_detached(folder)
    try:
        return asyncio.run(_demo(args, state, began))
    except KeyboardInterrupt:
        return 0
    finally:
        if already is None:
            up.stop(folder)


async def _demo(args: argparse.Namespace, state: State, began: float) -> int:
    if state.demo is None:
        raise StackError("this stack has no demo tenant")
    console = Console()
    console.print(f"  gateway          {state.urls.gateway_url}    API key {state.demo.api_key}")
    up.show_sign_in(state)
    traffic = Traffic(state.urls.gateway_url, state.demo, args.seed, args.clients)
    stopping = asyncio.Event()
    with contextlib.suppress(NotImplementedError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stopping.set)
    redis = redis_client.connect(RedisSettings(url=state.urls.redis_url))
    warehouse = await clickhouse_client.connect(ClickHouseSettings(url=state.urls.clickhouse_url))
    witnesses = _Witnesses(state, redis, warehouse)
    killing = asyncio.create_task(_kill(args.seed)) if args.kill else None
    try:
        sending = asyncio.create_task(traffic.run(args.runs, stopping.is_set))
        await _watch(console, traffic.tally, args.runs, sending, witnesses)
        await sending
        if killing is not None:
            killing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                console.print(f"killed: {', '.join(await killing) or 'nothing'}")
        first = traffic.tally.first_answer_at - began
        console.print(f"first metered run {first:.1f} s after the start; waiting until all is stored …")
        found = await _settle(traffic.tally, witnesses)
    finally:
        await warehouse.close()
        await redis.aclose()
    _report(console, traffic.tally, found)
    if args.exit or stopping.is_set() or not found.exact:
        return 0 if found.exact and not traffic.tally.gave_up else 1
    console.print("The stack keeps running; open the console, or press Ctrl-C to stop.")
    await stopping.wait()
    return 0


class _Witnesses:
    """The stores, asked for their figures."""

    def __init__(self, state: State, redis: Redis, warehouse: AsyncClient) -> None:
        if state.demo is None:
            raise StackError("this stack has no demo tenant")
        self._demo = state.demo
        self._redis = redis
        self._warehouse = warehouse
        self._partitions = KafkaSettings().partitions

    async def compare(self, tally: Tally) -> Agreement | None:
        """Return how things stand; `None` while a store is away."""
        try:
            return await compare(self._demo, self._partitions, self._redis, self._warehouse, tally.sent)
        except (RedisError, ClickHouseError, OSError):
            return None


async def _watch(
    console: Console, tally: Tally, runs: int | None, sending: asyncio.Task[None], witnesses: _Witnesses
) -> None:
    """Show progress and figures until everything is sent."""
    columns = (TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=console)
    bar = progress.add_task("runs", total=runs)
    with Live(console=console, refresh_per_second=4) as live:
        while not sending.done():
            found = await witnesses.compare(tally)
            progress.update(bar, completed=len(tally.sent))
            grid = Table.grid()
            grid.add_row(progress)
            grid.add_row(_figures(tally, found))
            live.update(grid)
            await asyncio.wait({sending}, timeout=_REFRESH_S)


async def _settle(tally: Tally, witnesses: _Witnesses) -> Agreement:
    """Wait until the witnesses agree and stay so, or the time is up."""
    deadline = time.monotonic() + _SETTLE_S
    found = await witnesses.compare(tally)
    while (found is None or not found.settled) and time.monotonic() < deadline:
        await asyncio.sleep(_REFRESH_S)
        found = await witnesses.compare(tally)
    if found is None:
        raise StackError("Redis or ClickHouse did not answer; see the logs in the data folder")
    return found


async def _kill(seed: int) -> list[str]:
    """Kill each service once, at a random moment, each when the one before is back; return their names."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    killed: list[str] = []
    with contextlib.suppress(asyncio.CancelledError):
        for name in chance.sample(_KILLED, len(_KILLED)):
            await asyncio.sleep(chance.uniform(*_KILL_AFTER_S))
            _kill_one(up.data_dir(), name)
            killed.append(name)
            await _is_back(up.data_dir(), name)
    return killed


async def _is_back(folder: Path, name: str) -> None:
    """Wait until the supervisor has restarted a process."""
    before = next((p.restarts for p in _processes(folder) if p.name == name), 0)
    while True:
        if any(p.name == name and p.pid and p.restarts > before for p in _processes(folder)):
            return
        await asyncio.sleep(0.05)


def _processes(folder: Path) -> list[Process]:
    state = up.running(folder)
    return state.processes if state else []


def _kill_one(folder: Path, name: str) -> None:
    pid = next((p.pid for p in _processes(folder) if p.name == name), 0)
    if pid:
        os.kill(pid, signal.SIGKILL)


def _figures(tally: Tally, found: Agreement | None) -> Table:
    table = Table(title=_headline(tally))
    table.add_column("figure")
    for name in ("answered", "Redis counters", "wallet", "ClickHouse"):
        table.add_column(name, justify="right")
    for name in FIGURES:
        answered = len(tally.sent) if name == "runs" else tally.total(name)
        wallet = found.wallet_charged if found and name == "charged" else None
        table.add_row(
            "credits" if name == "charged" else name.replace("_", " "),
            _shown(name, answered),
            _shown(name, found.redis[name] if found else None),
            _shown(name, wallet),
            _shown(name, found.clickhouse[name] if found else None),
        )
    return table


def _headline(tally: Tally) -> str:
    statuses = ", ".join(f"{count} {status}" for status, count in sorted(tally.by_status.items()))
    sources = ", ".join(f"{count} {source}" for source, count in sorted(tally.by_source.items()))
    retried = f"; {tally.retried} retried" if tally.retried else ""
    return f"{statuses or 'waiting for the first answer'} ({sources}){retried}"


def _shown(name: str, value: int | None) -> str:
    if value is None:
        return ""
    return f"{value / MICRO_PER_CREDIT:,.6f}" if name == "charged" else f"{value:,}"


def _report(console: Console, tally: Tally, found: Agreement) -> None:
    console.print(_figures(tally, found))
    if found.unacknowledged:
        console.print(f"{found.unacknowledged} more runs: of earlier demos, or whose gateway was killed")
    if tally.gave_up:
        console.print(f"[red]{tally.gave_up} requests never got an answer[/red]")
    for difference in found.differences[:20]:
        console.print(f"[red]{difference}[/red]")
    console.print("[green]exact agreement[/green]" if found.exact else "[red]no agreement[/red]")
