"""docs/benchmarks.md and its pictures, out of what was kept of each part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pictures
from results import ROOT, load

PAGE = ROOT / "docs" / "benchmarks.md"
_HEAD = """# Benchmarks

Written by `make bench`; do not edit it by hand. `make bench ARGS="metering scaling"` measures some parts
again, `make bench ARGS="--report"` writes this page out of what was measured before.

Everything a part needs runs on the one machine, and shares its cores: absolute figures are that machine's.
Judge by the ratios, which are to peers measured in the same run.
"""
Found = dict[str, Any]


def write(parts: Sequence[str]) -> list[str]:
    """Write the page out of all that was measured; return the parts that were not."""
    pieces, missing = [_HEAD], []
    for part in parts:
        kept = load(part)
        if kept is None:
            missing.append(part)
            continue
        title, body = SECTIONS[part](kept["found"])
        where = f"*{kept['at']}, {kept['machine']}; load {kept['load']:.1f} at the end.*"
        pieces.append(f"## {title}\n\n{where}\n\n{body.strip()}\n")
    PAGE.write_text("\n".join(pieces))
    return missing


def table(columns: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table; all columns but the first are figures."""
    head = [f"| {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) - 1)}"]
    return "\n".join([*head, *(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)])


def at(values: Sequence[float], share: float) -> float:
    """Return a percentile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def metering(found: Found) -> tuple[str, str]:
    ours, peers = found["ours"], found["peers"]
    lines: list[Sequence[object]] = [
        (
            "Runmeter: rated, counted, charged in Redis",
            f"{ours['per_s']:,.0f}",
            f"{ours['per_cpu_s']:,.0f}",
            "",
            "",
        )
    ]
    for name, peer in peers.items():
        ratios = [f"{ours[key] / peer[key]:.2f}" for key in ("per_s", "per_cpu_s")]
        lines.append((name, f"{peer['per_s']:,.0f}", f"{peer['per_cpu_s']:,.0f}", *ratios))
    body = table(("", "events/s", "per CPU second", "ours ÷ it", "by CPU"), lines)
    drawn = {name.partition(":")[0]: peer["per_s"] for name, peer in peers.items()}
    picture = pictures.bars("metering", {"Runmeter": ours["per_s"], **drawn}, "events/s")
    gigabytes = found["redis_bytes_per_run"] * 1e6 / 1e9
    return (
        "One metering worker",
        f"{picture}\n\nA backlog of real events, 7 a run. The peers decode and count, and nothing else: no "
        f"price, no wallet, no fence, no Redis.\n\n{body}\n\n"
        f"Redis holds {gigabytes:.2f} GB for a million tracked runs.",
    )


def scaling(found: Found) -> tuple[str, str]:
    one = next(case for case in found["cases"] if case["workers"] == 1 and case["partitions"] == 8)
    lines = [
        (
            f"{_count(case['partitions'], 'partition')}, {_count(case['workers'], 'worker')}",
            f"{case['per_s']:,.0f}",
            f"{case['per_cpu_s']:,.0f}",
            f"{case['per_s'] / one['per_s']:.2f}",
        )
        for case in found["cases"]
    ]
    picture = pictures.scaling("scaling", found["cases"])
    return (
        "Partitions and workers",
        f"{picture}\n\nWorkers, broker and Valkey share the machine's cores, so a second worker adds what "
        "is left of them. Events for each CPU second are what a core of a worker's own does.\n\n"
        + table(("", "events/s", "per CPU second of the workers", "÷ 8 partitions, 1 worker"), lines),
    )


def pipeline(found: Found) -> tuple[str, str]:
    sink, cpu, held = found["sink"], found["cpu_s_per_million"], found["bytes_per_million"]
    inserts = table(
        ("", "rows/s", "ours ÷ it"),
        [
            (
                "warehouse worker: decoded, planned, inserted once, rolled up",
                f"{sink['ours_per_s']:,.0f}",
                "",
            ),
            (
                "clickhouse-connect alone: the same rows, made before, 50,000 an insert",
                f"{sink['bare_per_s']:,.0f}",
                f"{sink['ours_per_s'] / sink['bare_per_s']:.2f}",
            ),
        ],
    )
    cost = table(("", "CPU seconds"), [(name, f"{taken:,.0f}") for name, taken in cpu.items()])
    total = sum(cpu.values())
    size = table(("", "MB"), [(name, f"{size / 1e6:,.0f}") for name, size in held.items()])
    picture = pictures.bars("cost", cpu, "CPU seconds for a million runs")
    return (
        "What a million runs cost",
        f"{picture}\n\nFrom Kafka to Redis, the ledger and ClickHouse, {found['events'] / found['runs']:.1f} "
        f"events a run, measured on {found['runs']:,} runs: {total:,.0f} CPU seconds.\n\n{cost}\n\n{size}\n\n"
        f"The warehouse worker catching up ({sink['rows']:,} rows):\n\n{inserts}",
    )


def freshness(found: Found) -> tuple[str, str]:
    delays = {name: values for name, values in found.items() if isinstance(values, list)}
    goals = {"Redis counter": "100", "ClickHouse": "1,000", "live stream (SSE)": "1,000", "browser": "1,000"}
    lines = [
        (name, *(f"{at(values, q):,.0f}" for q in (0.5, 0.9, 0.99, 1)), goals.get(name, ""), len(values))
        for name, values in delays.items()
    ]
    picture = pictures.histograms("freshness", delays, "ms from acknowledged to visible")
    return (
        "From acknowledged to visible",
        f"{picture}\n\nAt {found['events_per_s']:,.0f} events/s.\n\n"
        + table(("", "p50 ms", "p90 ms", "p99 ms", "max ms", "goal p99", "probes"), lines),
    )


def gateway(found: Found) -> tuple[str, str]:
    loads = {name: seen for name, seen in found.items() if isinstance(seen, dict)}
    peer = loads.get("LiteLLM proxy (no metering), 16 clients")
    lines: list[Sequence[object]] = []
    for name, seen in found.items():
        if isinstance(seen, str):
            lines.append((name, seen, "", "", "", ""))
            continue
        per_cpu = seen["requests"] / seen["cpu_s"] if seen["cpu_s"] else 0.0
        ratio = f"{per_cpu / (peer['requests'] / peer['cpu_s']):.1f}" if peer and seen is not peer else ""
        delays = [f"{at(seen['latencies_ms'], share):.1f}" for share in (0.5, 0.99)]
        lines.append((name, f"{seen['requests'] / seen['seconds']:,.0f}", f"{per_cpu:,.0f}", ratio, *delays))
    return (
        "Runs over HTTP",
        "Against a provider without latency.\n\n"
        + table(("", "req/s", "per CPU second", "÷ LiteLLM by CPU", "p50 ms", "p99 ms"), lines),
    )


def credits(found: Found) -> tuple[str, str]:
    admission, lag = found["admission_ms"], found["enforcement_ms"]
    lines: list[Sequence[object]] = [
        (
            "admission at 1,000/s, p50 / p99",
            f"{at(admission, 0.5):.2f} / {at(admission, 0.99):.2f} ms",
            "p99 ≤2 ms",
        )
    ]
    for factor, burst in found["bursts"].items():
        said = (
            f"{burst['served']} served, {burst['overspent_permille'] / 10:.1f} % overspent, "
            f"{burst['false_refusals_permille'] / 10:.1f} % refused though payable"
        )
        lines.append((f"100 calls at once, credits for 10, max_tokens {factor}x the answer", said, "≥9, 0 %"))
    for name, (billed, generated) in (
        ("streams left at their third piece: tokens billed / generated", found["left_early"]),
        ("gateway killed under streams: tokens metered / generated", found["killed"]),
    ):
        lines.append((name, f"{billed} / {generated} ({100 * billed / max(1, generated):.1f} %)", "100 %"))
    lines.append(
        (
            "credits taken away (acked) → stream cut, p50 / max",
            f"{at(lag, 0.5):.0f} / {max(lag):.0f} ms",
            "≤100 ms",
        )
    )
    picture = pictures.histograms("admission", {"admission": admission}, "ms")
    return "Credits", f"{picture}\n\n" + table(("", "seen", "goal"), lines)


def retrieval(found: Found) -> tuple[str, str]:
    lines: list[Sequence[object]] = []
    for name, result in found.items():
        if isinstance(result, str):
            lines.append((name, result, "", "", ""))
            continue
        ranks, delays = result["ranks"], result["milliseconds"]
        recall = sum(0 < rank <= 5 for rank in ranks) / len(ranks)
        reciprocal = sum(1 / rank for rank in ranks if rank) / len(ranks)
        shown = [f"{at(delays, share):.1f}" for share in (0.5, 0.99)] if delays else ["", ""]
        lines.append((name, f"{recall:.3f}", f"{reciprocal:.3f}", *shown))
    return (
        "What an instance knows",
        "43 questions to 42 passages; latency with 5,000 chunks, the question's embedding included.\n\n"
        + table(("", "recall@5", "MRR", "p50 ms", "p99 ms"), lines),
    )


def warehouse(found: Found) -> tuple[str, str]:
    sizes = found["sizes"]
    columns = ["", *(f"{size['runs']:,} runs" for size in sizes)]
    lines: list[Sequence[object]] = []
    for name in sizes[0]["questions"]:
        asked = [size["questions"][name] for size in sizes]
        lines.append((name, *(f"{q['p50_ms']:.0f} / {q['p99_ms']:.0f}" for q in asked)))
        if asked[0]["runs_final_ms"]:
            lines.append(("… straight from the runs", *(_raw(q["runs_final_ms"]) for q in asked)))
    for rollup in ("usage_minutes", "usage_hours", "usage_days"):
        held = [f"{s['rows'].get(rollup, 0):,} ({s['bytes'].get(rollup, 0) / 1e6:,.0f} MB)" for s in sizes]
        lines.append((f"rows of `{rollup}`", *held))
    lines.append(("`runs`", *(f"{size['bytes']['runs'] / 1e6:,.0f} MB" for size in sizes)))
    lines.append(("all rollups built anew", *(f"{size['rollups_s']:,.0f} s" for size in sizes)))
    stopped = f"\n\nNo further: {found['stopped']}." if found.get("stopped") else ""
    picture = pictures.growth("dashboards", sizes)
    return (
        "Dashboards as history grows",
        f"{picture}\n\nThe API's answers, p50 / p99 ms of {found['asked']} each, over {found['days']} days "
        "with 1,000 instances, of which the one asked has a tenth of all runs. Goal: p99 ≤100 ms.\n\n"
        + table(columns, lines)
        + stopped,
    )


def _raw(taken: float | str) -> str:
    return taken if isinstance(taken, str) else f"{taken:,.0f}"


def console(found: Found) -> tuple[str, str]:
    watchers = found["watchers"]
    lines: list[Sequence[object]] = [
        (
            f"{name}: first paint / interactive, p50 (max) of {len(found['paint'][name])} first visits",
            f"{_spread(found['paint'][name])} / {_spread(found['interactive'][name])} ms",
            "≤1,500 / ≤3,000 ms",
        )
        for name in found["paint"]
    ]
    delays, shown = found["delays"], found["shown"]
    grown = (found["memory_watched"] - found["memory_alone"]) / watchers
    lines += [
        (
            f"acknowledged → told to each of {watchers} watchers, p50 / p99",
            f"{at(delays, 0.5):,.0f} / {at(delays, 0.99):,.0f} ms",
            "≤1,000 ms",
        ),
        (
            "acknowledged → on the screen of one more, p50 / max",
            f"{at(shown, 0.5):,.0f} / {max(shown):,.0f} ms",
            "≤1,000 ms",
        ),
        (
            f"the core: {watchers} watchers, nothing happening / updates all the time",
            f"{found['idle_cpu']:.0%} / {found['busy_cpu']:.0%}",
            "<100 %",
        ),
        (
            "memory: nobody watching / each watcher more",
            f"{found['memory_alone'] / 2**20:,.0f} / {grown / 2**20:,.2f} MB",
            "",
        ),
    ]
    return "The web console, one process on one core", table(("", "seen", "goal"), lines)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _spread(values: Sequence[float]) -> str:
    return f"{at(values, 0.5):,.0f} ({max(values):,.0f})"


SECTIONS: dict[str, Callable[[Found], tuple[str, str]]] = {
    "metering": metering,
    "scaling": scaling,
    "pipeline": pipeline,
    "warehouse": warehouse,
    "freshness": freshness,
    "gateway": gateway,
    "credits": credits,
    "retrieval": retrieval,
    "console": console,
}
