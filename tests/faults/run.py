"""`make faults`: break a running stack in every way there is, and count what was lost or doubled."""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

# What the tests share lies one folder up.
sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

import brokers
import database
import events
import network
import processes
import stores
from oracle import Difference
from rich.console import Console
from rich.table import Table
from trial import Fault, Plan, Verdict, attempt
from world import World, world

ALL: tuple[Fault, ...] = (
    *processes.FAULTS,
    *events.FAULTS,
    *stores.FAULTS,
    *brokers.FAULTS,
    *database.FAULTS,
    *network.FAULTS,
)
_SHOWN = 25


def main() -> None:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--seed", type=int, help="repeats the moments of an earlier run")
    parser.add_argument("--only", default="", help="names of faults, separated by commas")
    parser.add_argument("--rounds", type=int, default=1, help="how often to go through all of them")
    parser.add_argument("--runs", type=int, default=60, help="runs sent around each fault, at least")
    parser.add_argument("--clients", type=int, default=10, help="how many clients send at once")
    parser.add_argument("--long", action="store_true", help="ClickHouse stays away for a minute")
    parser.add_argument("--list", action="store_true", help="show the faults")
    args = parser.parse_args()
    if args.list:
        for fault in ALL:
            print(f"{fault.name:24} {(fault.__doc__ or '').splitlines()[0]}")
        return
    names = [name for name in args.only.split(",") if name] or [fault.name for fault in ALL]
    if unknown := set(names) - {fault.name for fault in ALL}:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}; see --list")
    seed = args.seed if args.seed is not None else secrets.randbelow(1_000_000)
    plan = Plan(runs=args.runs, long=args.long, clients=args.clients)
    wanted = [fault for fault in ALL if fault.name in names]
    print(f"seed {seed}", flush=True)
    # Complaints about servers that are killed on purpose would bury the results.
    for name in ("aiokafka", "stack.process"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # So that the stack is taken down, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    verdicts = asyncio.run(_rounds(wanted, seed, plan, args.rounds))
    _show(verdicts)
    print(f"seed {seed}")
    sys.exit(any(verdict.red for verdict in verdicts))


async def _rounds(wanted: Sequence[Fault], seed: int, plan: Plan, rounds: int) -> list[Verdict]:
    verdicts: list[Verdict] = []
    for number in range(rounds):
        for group in _groups(wanted):
            verdicts += await _group(group, f"{seed} {number}", plan)
    return verdicts


def _groups(wanted: Sequence[Fault]) -> list[list[Fault]]:
    """Return the faults by the stack they can share."""
    groups: dict[str, list[Fault]] = {}
    for fault in wanted:
        alone = fault.name if fault.spoils else ""
        needs = f"{sorted(fault.env.items())} {fault.proxied} {fault.sql} {fault.three_brokers} {alone}"
        groups.setdefault(needs, []).append(fault)
    return list(groups.values())


async def _group(faults: Sequence[Fault], seed: str, plan: Plan) -> list[Verdict]:
    verdicts: list[Verdict] = []
    todo = list(faults)
    while todo:
        async with AsyncExitStack() as stack:
            running: World | None = None
            while todo:
                fault = todo.pop(0)
                # Each fault has its own dice, so that `--only` repeats it with the same seed.
                dice = random.Random(f"{seed} {fault.name}")
                if missing := fault.missing():
                    print(f"SKIPPED {fault.name}: {missing}", flush=True)
                    verdicts.append(Verdict(fault.name, skipped=missing))
                    continue
                if running is None:
                    needed = world(
                        fault.env,
                        proxied=fault.proxied,
                        sql=fault.sql,
                        tiny_disk=fault.tiny_disk,
                        three_brokers=fault.three_brokers,
                    )
                    running = await stack.enter_async_context(needed)
                began = time.monotonic()
                verdict = await _safely(running, fault, dice, plan)
                verdicts.append(verdict)
                _tell(verdict, time.monotonic() - began)
                if verdict.red:
                    # What is wrong now would be found again after each later fault.
                    running.keep = True
                    break
    return verdicts


async def _safely(running: World, fault: Fault, dice: random.Random, plan: Plan) -> Verdict:
    try:
        return await attempt(running, fault, dice, plan)
    except Exception as error:
        return Verdict(fault.name, differences=[Difference("other", fault.name, repr(error))])


def _tell(verdict: Verdict, seconds: float) -> None:
    said = "RED" if verdict.red else "ok"
    recovery = (
        f", goes on after {_seconds(verdict.first_s)} s, everywhere after {_seconds(verdict.recovery_s)} s"
    )
    notes = f" ({'; '.join(verdict.notes)})" if verdict.notes else ""
    print(f"{verdict.fault:24} {said:4} {verdict.runs} runs{recovery}, {seconds:.0f} s{notes}", flush=True)
    for difference in verdict.differences[:_SHOWN]:
        print(f"    {difference}", flush=True)


def _seconds(taken: float | None) -> str:
    return "-" if taken is None else f"{taken:.2f}"


def _show(verdicts: Sequence[Verdict]) -> None:
    table = Table(title="Faults", title_justify="left")
    table.add_column("fault")
    for name in ("runs", "lost", "doubled", "overspent", "other", "first s", "all s"):
        table.add_column(name, justify="right")
    for verdict in verdicts:
        if verdict.skipped:
            table.add_row(verdict.fault, "skipped", *[""] * 6)
            continue
        counts = [str(verdict.count(kind)) for kind in ("lost", "doubled", "overspent", "other")]
        recovery = (_seconds(verdict.first_s), _seconds(verdict.recovery_s))
        table.add_row(verdict.fault, str(verdict.runs), *counts, *recovery)
    Console(width=100).print(table)
    for verdict in verdicts:
        if verdict.red:
            print(f"{verdict.fault}:")
            for difference in verdict.differences[:_SHOWN]:
                print(f"    {difference}")
            if len(verdict.differences) > _SHOWN:
                print(f"    … and {len(verdict.differences) - _SHOWN} more")


if __name__ == "__main__":
    main()
