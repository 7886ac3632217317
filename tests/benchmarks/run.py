"""`make bench`: measure, and print one table. Absolute figures are this machine's; judge by the ratios."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # what benchmarks and tests share
import bench_console
import bench_credits
import bench_freshness
import bench_gateway
import bench_metering
import bench_retrieval
from bench_load import Load
from bench_retrieval import Found
from bench_stack import whole_stack
from rich.console import Console
from rich.table import Table

_PARTS = ("metering", "freshness", "gateway", "credits", "retrieval", "console")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(_PARTS)}; all by default")
    wanted = parser.parse_args().parts or list(_PARTS)
    if unknown := set(wanted) - set(_PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    console = Console(width=110)
    console.print(f"{os.cpu_count()} cores, {platform.platform()}, CPython {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder:
        if "metering" in wanted:
            console.print(metering(asyncio.run(bench_metering.measure(Path(folder) / "metering"))))
        if "freshness" in wanted or "gateway" in wanted:
            with whole_stack(Path(folder) / "stack") as stack:
                if "gateway" in wanted:
                    loads = asyncio.run(bench_gateway.measure(stack, Path(folder)))
                    console.print(gateway(loads))
                if "freshness" in wanted:
                    console.print(freshness(asyncio.run(bench_freshness.measure(stack, Path(folder)))))
        if "credits" in wanted:
            # A model that takes its time: what is measured happens while answers are being written.
            with whole_stack(Path(folder) / "credits", time_scale=1) as stack:
                console.print(credits(asyncio.run(bench_credits.measure(stack))))
        if "console" in wanted:
            with whole_stack(Path(folder) / "console") as stack:
                console.print(bench_console.table(asyncio.run(bench_console.measure(stack, Path(folder)))))
        if "retrieval" in wanted:
            console.print(retrieval(asyncio.run(bench_retrieval.measure(Path(folder) / "retrieval"))))


def table(title: str, *columns: str) -> Table:
    made = Table(title=title, title_justify="left")
    made.add_column(columns[0])
    for column in columns[1:]:
        made.add_column(column, justify="right")
    return made


def metering(found: dict[str, float]) -> Table:
    made = table(
        "One metering worker catching up on a backlog of real events", "", "events/s", "per CPU second"
    )
    for name, prefix in (
        ("Runmeter: rated, counted, charged in Redis", "metering"),
        ("stock Faust: decoded and counted", "stock_faust"),
    ):
        made.add_row(name, f"{found[prefix + '_per_s']:,.0f}", f"{found[prefix + '_per_cpu_s']:,.0f}")
    made.add_row(
        "ratio (goal: ≥6)",
        f"{found['metering_per_s'] / found['stock_faust_per_s']:.1f}x",
        f"{found['metering_per_cpu_s'] / found['stock_faust_per_cpu_s']:.1f}x",
    )
    made.add_row("Redis, for a million tracked runs", f"{found['gigabytes_per_million_runs']:.2f} GB", "")
    return made


def gateway(loads: dict[str, Load | str]) -> Table:
    made = table(
        "Runs over HTTP against a provider without latency",
        "",
        "req/s",
        "req per CPU second",
        "p50 ms",
        "p99 ms",
    )
    for name, load in loads.items():
        if isinstance(load, str):
            made.add_row(name, load, "", "", "")
            continue
        made.add_row(
            name,
            f"{load.per_second:,.0f}",
            f"{load.per_core_second:,.0f}",
            f"{load.percentile(0.5):.1f}",
            f"{load.percentile(0.99):.1f}",
        )
    ours, peer = (
        loads.get(f"{who}, 16 clients") for who in ("gateway + runner", "LiteLLM proxy (no metering)")
    )
    if isinstance(ours, Load) and isinstance(peer, Load):
        made.add_row("ratio (goal: ≥10)", "", f"{ours.per_core_second / peer.per_core_second:.1f}x", "", "")
    return made


def credits(found: dict[str, Any]) -> Table:
    made = table("Credits", "", "seen", "goal")
    admission, lag = sorted(found["admission_ms"]), sorted(found["enforcement_ms"])
    made.add_row(
        "admission at 1,000/s, p50 / p99",
        f"{_at(admission, 0.5):.2f} / {_at(admission, 0.99):.2f} ms",
        "p99 ≤2 ms",
    )
    for factor, burst in found["bursts"].items():
        made.add_row(
            f"100 calls at once, credits for 10, max_tokens {factor}x the answer",
            f"{burst.served} served, {burst.overspent_permille / 10:.1f} % overspent, "
            f"{burst.false_refusals_permille / 10:.1f} % refused though payable",
            "≥9 served, 0 % overspent",
        )
    for name, (billed, generated) in (
        ("streams left at their third piece: tokens billed / generated", found["left_early"]),
        ("gateway killed under streams: tokens metered / generated", found["killed"]),
    ):
        made.add_row(name, f"{billed} / {generated} ({100 * billed / max(1, generated):.1f} %)", "100 %")
    made.add_row(
        "credits taken away (acked) → stream cut, p50 / max",
        f"{_at(lag, 0.5):.0f} / {lag[-1]:.0f} ms",
        "p99 ≤100 ms",
    )
    return made


def retrieval(found: dict[str, Found | str]) -> Table:
    made = table(
        "What an instance knows: 43 questions to 42 passages; latency with 5,000 chunks, the question's "
        "embedding included",
        *("", "recall@5", "MRR", "p50 ms", "p99 ms"),
    )
    for name, result in found.items():
        if isinstance(result, str):
            made.add_row(name, result, "", "", "")
            continue
        ordered = sorted(result.milliseconds)
        delays = [f"{_at(ordered, share):.1f}" for share in (0.5, 0.99)] if ordered else ["", ""]
        made.add_row(name, f"{result.recall:.3f}", f"{result.reciprocal_rank:.3f}", *delays)
    return made


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def freshness(found: dict[str, Sequence[float] | float]) -> Table:
    rate = found.pop("events_per_s")
    made = table(
        f"From acknowledged to visible, at {rate:,.0f} events/s", "", "p50 ms", "p99 ms", "max ms", "goal p99"
    )
    goals = {
        "Redis counter": "100",
        "Redis counter, analytics on the same cores": "",
        "ClickHouse": "1,000",
        "live stream (SSE)": "1,000",
        "browser": "1,000",
    }
    for name, delays in found.items():
        ordered = sorted(delays)  # type: ignore[arg-type]
        p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
        made.add_row(
            name, f"{ordered[len(ordered) // 2]:.0f}", f"{p99:.0f}", f"{ordered[-1]:.0f}", goals[name]
        )
    return made


if __name__ == "__main__":
    main()
