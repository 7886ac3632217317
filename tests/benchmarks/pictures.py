"""The report's pictures: SVG files that change only where a figure did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from results import ROOT

mpl.use("svg")
import matplotlib.pyplot as plt  # after the choice of what draws

FOLDER = ROOT / "docs" / "images" / "bench"
mpl.rcParams.update(
    {
        # Otherwise each run would have other ids in it.
        "svg.hashsalt": "runmeter",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
    }
)
_SIZE = (7.2, 3.0)


def bars(name: str, values: Mapping[str, float], unit: str) -> str:
    """Draw one bar for each; return the Markdown that shows it."""
    figure, axes = plt.subplots(figsize=_SIZE)
    drawn = axes.barh(list(values)[::-1], list(values.values())[::-1], color="#4c78a8")
    axes.bar_label(drawn, fmt="{:,.0f}", padding=3)
    axes.set_xlabel(unit)
    axes.margins(x=0.15)
    return _save(name, figure, unit)


def histograms(name: str, delays: Mapping[str, Sequence[float]], unit: str) -> str:
    """Draw how delays are spread, on a logarithmic axis."""
    figure, axes = plt.subplots(figsize=_SIZE)
    every = [max(value, 0.01) for values in delays.values() for value in values]
    low, high = min(every), max(every) * 1.05
    edges = [low * (high / low) ** (n / 40) for n in range(41)]
    for label, values in delays.items():
        weights = [100 / len(values)] * len(values)
        axes.hist(values, bins=edges, weights=weights, histtype="step", linewidth=1.6, label=label)
    axes.set_xscale("log")
    axes.set_xlabel(unit)
    axes.set_ylabel("% of probes")
    axes.legend(frameon=False)
    return _save(name, figure, unit)


def scaling(name: str, cases: Sequence[Mapping[str, Any]]) -> str:
    """Draw rates by partitions, a line for each number of workers."""
    figure, axes = plt.subplots(figsize=_SIZE)
    for workers in sorted({case["workers"] for case in cases}):
        of = [case for case in cases if case["workers"] == workers]
        label = f"{workers} worker{'s' * (workers > 1)}"
        axes.plot([c["partitions"] for c in of], [c["per_s"] for c in of], marker="o", label=label)
    axes.set_xscale("log", base=2)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("partitions")
    axes.set_ylabel("events/s")
    axes.legend(frameon=False)
    return _save(name, figure, "events/s by partitions and workers")


def growth(name: str, sizes: Sequence[Mapping[str, Any]]) -> str:
    """Draw each question's p99 as the runs grow, and what the same takes from the runs."""
    figure, axes = plt.subplots(figsize=(7.2, 3.8))
    runs = [size["runs"] for size in sizes]
    for n, question in enumerate(sizes[0]["questions"]):
        asked, color = [size["questions"][question] for size in sizes], f"C{n}"
        axes.plot(runs, [q["p99_ms"] for q in asked], marker="o", color=color, label=question)
        known = [(n, q["runs_final_ms"]) for n, q in zip(runs, asked, strict=True)]
        if of := [(count, taken) for count, taken in known if isinstance(taken, float)]:
            axes.plot(*zip(*of, strict=True), linestyle=":", color=color)
    axes.axhline(100, color="black", linewidth=0.8, linestyle="--")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("runs in the warehouse (dotted: the same sums straight from them)")
    axes.set_ylabel("p99, ms")
    axes.legend(frameon=False, fontsize=7)
    return _save(name, figure, "p99 of dashboards' questions by runs")


def _save(name: str, figure: Any, what: str) -> str:
    FOLDER.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)
    return f"![{what}](images/bench/{name}.svg)"
