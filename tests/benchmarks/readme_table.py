"""The README's table: what was seen beside what was aimed at, by the latest results of each part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from report import at, table
from results import ROOT, load

PAGE = ROOT / "README.md"
_BEGIN, _END = "<!-- written by make bench -->", "<!-- end -->"
Found = dict[str, Any]


def write() -> None:
    """Put the table between the page's marks."""
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    PAGE.write_text(f"{before}{_BEGIN}\n\n{_table()}\n\n{_END}{after}")


def _table() -> str:
    lines = [(what, seen(kept["found"]), aim) for what, part, seen, aim in _ROWS if (kept := load(part))]
    return table(["", "seen", "aim"], lines)


def _scaling(found: Found) -> str:
    best = dict.fromkeys((1, 2), 0.0)
    for case in found["cases"]:
        best[case["workers"]] = max(best[case["workers"]], case["per_s"])
    return f"{best[1]:,.0f} events/s; two workers {best[2]:,.0f}"


def _beside_faust(found: Found) -> str:
    faust = found["peers"]["stock Faust: decoded and counted"]["per_s"]
    return f"{found['ours']['per_s'] / faust:.1f}x"


def _beside_litellm(found: Found) -> str:
    shares = []
    for clients in (1, 16):
        ours = found[f"gateway + runner, {clients} clients"]
        theirs = found["LiteLLM proxy (no metering), 16 clients"]
        shares.append((ours["requests"] / ours["cpu_s"]) / (theirs["requests"] / theirs["cpu_s"]))
    return f"{shares[0]:.1f}x with one client, {shares[1]:.1f}x with 16"


def _admission(found: Found) -> str:
    spent = found["admission_ms"]
    return f"p50 {at(spent, 0.5):.1f} ms, p99 {at(spent, 0.99):.1f} ms"


def _burst(found: Found) -> str:
    burst = found["bursts"]["10"]
    overspent, refused = burst["overspent_permille"] / 10, burst["false_refusals_permille"] / 10
    return f"{burst['served']} served, {overspent:.0f} % overspent, {refused:.0f} % refused wrongly"


def _cut(found: Found) -> str:
    spent = found["enforcement_ms"]
    return f"p50 {at(spent, 0.5):.0f} ms, at most {max(spent):.0f} ms"


def _fresh(store: str) -> Callable[[Found], str]:
    def seen(found: Found) -> str:
        p50, p99 = at(found[store], 0.5), at(found[store], 0.99)
        return f"p50 {p50:,.0f} ms, p99 {p99:,.0f} ms"

    return seen


_ROWS: tuple[tuple[str, str, Callable[[Found], str], str], ...] = (
    ("one metering worker: rated, counted, charged in Redis", "scaling", _scaling, "100,000 a core"),
    ("a metering worker, beside a stock Faust agent that only counts", "metering", _beside_faust, "6x"),
    ("gateway + runner, beside LiteLLM's proxy without metering, by CPU", "gateway", _beside_litellm, "10x"),
    ("admission at 1,000/s: rates, caps, balance, hold in one call", "credits", _admission, "p99 2 ms"),
    (
        "100 calls at once on credits for 10, `max_tokens` ten times too large",
        "credits",
        _burst,
        "10, 0 %, 0 %",
    ),
    ("credits taken away → stream cut", "credits", _cut, "100 ms"),
    ("acknowledged → Redis counter, at 5,000 events/s", "freshness", _fresh("Redis counter"), "p99 100 ms"),
    ("acknowledged → ClickHouse, all on the same cores", "freshness", _fresh("ClickHouse"), "p99 1,000 ms"),
    ("acknowledged → browser, all on the same cores", "freshness", _fresh("browser"), "p99 1,000 ms"),
)
