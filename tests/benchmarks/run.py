"""`make bench`: measure, and write docs/benchmarks.md out of it. Judge by the ratios, not by this machine."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # what benchmarks and tests share
import bench_console
import bench_credits
import bench_freshness
import bench_gateway
import bench_metering
import bench_pipeline
import bench_retrieval
import bench_scaling
import bench_warehouse
import readme_table
import report
import results
import scale_table
from bench_stack import whole_stack

_PARTS = tuple(report.SECTIONS)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(_PARTS)}; all by default")
    parser.add_argument("--runs", type=int, default=bench_warehouse.SIZES[-1], help="of `warehouse`, at most")
    parser.add_argument("--report", action="store_true", help="measure nothing; write the page")
    args = parser.parse_args()
    if unknown := set(args.parts) - set(_PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    failed = [] if args.report else _measure(args.parts or _PARTS, args.runs)
    missing = report.write(_PARTS)
    scale_table.write()
    readme_table.write()
    print(report.PAGE.read_text())
    for part in missing:
        print(f"not measured yet: {part}", file=sys.stderr)
    for part, error in failed:
        print(f"{part} failed: {error}", file=sys.stderr)
    sys.exit(bool(failed))


def _measure(wanted: Sequence[str], runs: int) -> list[tuple[str, str]]:
    """Measure parts one after the other; return those that failed, the others' results are kept."""
    failed: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory(prefix="runmeter-bench-") as folder:
        for part in wanted:
            print(f"measuring {part} …", file=sys.stderr, flush=True)
            try:
                results.save(part, _one(part, Path(folder) / part, runs))
            except Exception as error:
                failed.append((part, repr(error)))
    return failed


def _one(part: str, folder: Path, runs: int) -> object:
    folder.mkdir()
    if part == "warehouse":
        return asyncio.run(bench_warehouse.measure(folder, runs))
    if part in ("metering", "scaling", "pipeline", "retrieval"):
        of = {
            "metering": bench_metering,
            "scaling": bench_scaling,
            "pipeline": bench_pipeline,
            "retrieval": bench_retrieval,
        }
        return asyncio.run(of[part].measure(folder))
    # A model that takes its time where what is measured happens while answers are being written.
    with whole_stack(folder / "stack", time_scale=1 if part == "credits" else 0) as stack:
        if part == "credits":
            return asyncio.run(bench_credits.measure(stack))
        of_stack = {"gateway": bench_gateway, "freshness": bench_freshness, "console": bench_console}
        return asyncio.run(of_stack[part].measure(stack, folder))


if __name__ == "__main__":
    main()
