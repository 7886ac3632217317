"""Rules and dashboards ask for metrics and labels that there are, and each alert leads to a section."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from observed_rules import alerts

from kit.metrics import registry

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "docs" / "dashboards" / "operations.json"

_KNOWN = {name: metric for metric in registry.ALL for name in metric.exposed}
#: What Prometheus itself adds to whatever it scrapes.
_ADDED = {"job", "instance", "le"}
_SELECTOR = re.compile(r"\b(runmeter_\w+)(?:\{([^}]*)\})?")
_GROUPED = re.compile(r"\bby \(([^)]*)\)")
_MATCH = re.compile(r"(\w+)\s*(=~|!~|!=|=)\s*\"([^\"]*)\"")


def panels() -> list[dict[str, Any]]:
    return [p for p in json.loads(DASHBOARD.read_text())["panels"] if p["type"] != "row"]


def queries() -> dict[str, str]:
    """Return every query with where it stands."""
    found = {f"{rule['alert']}": rule["expr"] for rule in alerts()}
    for panel in panels():
        found.update({f"{panel['title']}/{t['refId']}": t["expr"] for t in panel["targets"]})
    return found


def wrongs(query: str) -> list[str]:
    """Return what a query asks for that there is not."""
    wrong, usable = [], set(_ADDED)
    for name, selector in _SELECTOR.findall(query):
        metric = _KNOWN.get(name)
        if metric is None:
            wrong.append(f"there is no {name}")
            continue
        bounds = dict(metric.labels)
        usable |= bounds.keys()
        for label, how, value in _MATCH.findall(selector):
            if label not in bounds:
                wrong.append(f"{name} has no label {label}")
            elif bounds[label].values:
                asked = value.split("|") if how in ("=~", "!~") else [value]
                wrong += [
                    f"{name}: {label} is never {one}" for one in asked if one not in bounds[label].values
                ]
    named = {label.strip() for labels in _GROUPED.findall(query) for label in labels.split(",")}
    wrong += [f"nothing to group by in {label}" for label in sorted(named - usable)]
    if query.count("(") != query.count(")"):
        wrong.append("parentheses do not match")
    return wrong


@pytest.mark.parametrize("where", queries())
def test_a_query_asks_for_what_there_is(where: str) -> None:
    assert wrongs(queries()[where]) == []


def test_the_dashboard_shows_every_metric() -> None:
    shown = " ".join(t["expr"] for panel in panels() for t in panel["targets"])

    assert {m.name for m in registry.ALL if not any(name in shown for name in m.exposed)} == set()


def test_panels_do_not_lie_on_one_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_leads_to_what_to_do(rule: dict[str, Any]) -> None:
    path, _, anchor = rule["annotations"]["runbook"].partition("#")
    text = (ROOT / path).read_text()
    titles = re.findall(r"(?m)^#{2,3} (.+)$", text)
    sections = dict(zip(titles, re.split(r"(?m)^#{2,3} .+$", text)[1:], strict=True))
    found = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-"): title for title in titles}

    assert anchor in found
    section = sections[found[anchor]]
    assert rule["alert"] in section
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["summary"]


def test_what_must_be_watched_is() -> None:
    watched = {name for rule in alerts() for name, _ in _SELECTOR.findall(rule["expr"])}

    assert watched >= {
        "runmeter_lag_records",
        "runmeter_stalled_seconds",
        "runmeter_dead_letters_total",
        "runmeter_reconcile_overdrawn_wallets",
        "runmeter_reconcile_differences",
        "runmeter_spool_bytes",
        "runmeter_gateway_admission_seconds_bucket",
        "runmeter_gateway_ended_runs_total",
        "runmeter_warehouse_clickhouse_away",
    }


@pytest.mark.parametrize(
    "planted",
    [
        "sum(runmeter_gone)",
        'runmeter_lag_records{tenant="t"}',
        'runmeter_gateway_ended_runs_total{status="fialed"}',
        "sum by (org) (runmeter_lag_records)",
        "max(runmeter_lag_records",
        "runmeter_gateway_run_seconds",
    ],
)
def test_a_wrong_query_is_found(planted: str) -> None:
    assert len(wrongs(planted)) == 1
