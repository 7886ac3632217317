"""Every metric is declared, every declaration is exposed, and no label can grow without bound."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import cast, get_args

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from containers import free_ports
from observed_rules import increasing
from observed_stack import Observed, answers
from parsed import parsed
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from waiting import soon

from console_api.alerts.kinds import AlertKind
from kit.clock import now_ms
from kit.metrics import counter, registry, serving
from kit.metrics.declared import Bound, Metric
from stack import metrics_page
from streams.dead_letters import DeadLetters, label_of
from streams.exports import port
from streams.exports.metrics import of

ROOT = Path(__file__).parents[2]
ROLES = (
    *("gateway", "runner", "console_api", "metering", "warehouse", "relay", "ingestion"),
    *("billing", "exports"),
)
#: Roles whose processes are called otherwise: an exporter after its destination.
_PART = {"exports": "export-lake"}
_FORBIDDEN = {"tenant", "tenant_id", "org", "org_id", "instance", "instance_id", "run_id", "key_id", "user"}


def exposed(text: str) -> dict[str, Metric | None]:
    """Return the product's metrics in an answer of `/metrics`, each with its declaration."""
    declared = {metric.name: metric for metric in registry.ALL}
    return {
        family.name: declared.get(family.name)
        for family in text_string_to_metric_families(text)
        if family.name.startswith("runmeter_")
    }


def wrongs(role: str, text: str) -> list[str]:
    """Return what differs between an answer of `/metrics` and the declarations for that role."""
    found = exposed(text)
    wrong = [f"{name} is not declared" for name, metric in found.items() if metric is None]
    wrong += [f"{m.name} is not {role}'s" for m in found.values() if m is not None and role not in m.roles]
    wrong += [f"{m.name} is not exposed" for m in registry.ALL if role in m.roles and m.name not in found]
    for family in text_string_to_metric_families(text):
        metric = found.get(family.name)
        if metric is None:
            continue
        if family.type != metric.kind or family.documentation != metric.meaning:
            wrong.append(f"{family.name} is a {family.type}: {family.documentation}")
        for sample in family.samples:
            wrong += _wrong_labels(metric, sample.labels)
    return wrong


def unborn(role: str, text: str) -> list[str]:
    """Return the counters whose increase an alert asks for and of which a role exposes no series."""
    there = {f.name for f in text_string_to_metric_families(text) if f.samples}
    return [m.name for m in increasing() if role in m.roles and m.name not in there]


def _wrong_labels(metric: Metric, labels: dict[str, str]) -> list[str]:
    bounds = dict(metric.labels)
    own = {name: value for name, value in labels.items() if name != "le"}
    wrong = [f"{metric.name} has the labels {sorted(own)}"] if own.keys() != bounds.keys() else []
    return wrong + [
        f"{metric.name}: {name}={value}"
        for name, value in own.items()
        if name in bounds and bounds[name].values and value not in bounds[name].values
    ]


@pytest.mark.parametrize("role", ROLES)
def test_a_running_role_exposes_what_is_declared_for_it_and_nothing_else(
    observed: Observed, role: str
) -> None:
    part = _PART.get(role, role)
    port = observed.ports.get(f"{part}_ops") or observed.ports[part]

    answer = httpx.get(f"http://127.0.0.1:{port}/metrics")

    assert answer.status_code == 200
    assert wrongs(role, answer.text) == []
    assert unborn(role, answer.text) == []


def test_reconcile_tells_completeness_freshness_and_difference(observed: Observed) -> None:
    port = free_ports("reconcile")["reconcile"]
    with observed.reconciling(port):
        soon(lambda: answers(f"http://127.0.0.1:{port}/readyz"), "it has reconciled once")
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    assert wrongs("reconcile", text) == []
    said = {s.name: s.value for family in text_string_to_metric_families(text) for s in family.samples}
    assert said["runmeter_reconcile_completeness_ratio"] == 1
    assert said["runmeter_reconcile_differences"] == 0
    assert said["runmeter_reconcile_charged_difference_micro"] == 0
    assert said["runmeter_reconcile_overdrawn_wallets"] == 0
    assert said["runmeter_reconcile_freshness_seconds"] == 0


def test_the_page_of_metrics_is_the_registry() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text() == metrics_page.render(), "run `make metrics-page`"


def test_every_role_is_asked() -> None:
    assert {role for metric in registry.ALL for role in metric.roles} == {*ROLES, "reconcile"}


def test_names_are_unique_and_say_their_unit() -> None:
    names = [metric.name for metric in registry.ALL]
    assert len(names) == len(set(names))
    for metric in registry.ALL:
        assert re.fullmatch(r"runmeter_[a-z_]+", metric.name)
        assert metric.meaning
        assert metric.roles
        if metric.unit == "seconds":
            assert metric.name.endswith("_seconds")
        if metric.unit == "bytes":
            assert metric.name.endswith("_bytes")
        if metric.unit == "micro-credits":
            assert metric.name.endswith("_micro")
        assert bool(metric.buckets) == (metric.kind == "histogram")
        assert list(metric.buckets) == sorted(set(metric.buckets))


def test_no_label_names_who_or_whose() -> None:
    labels = {name for metric in registry.ALL for name, _ in metric.labels}

    assert labels & _FORBIDDEN == set()


def test_a_label_without_a_bound_cannot_be_declared() -> None:
    with pytest.raises(ValueError, match="bounded"):
        Bound()


def test_a_metric_cannot_be_built_as_another_kind() -> None:
    with pytest.raises(TypeError, match="declared as a gauge"):
        counter(registry.LAG)


def made_elsewhere(source: str) -> list[str]:
    """Return the kinds of metric that a file takes from Prometheus' client and calls by itself."""
    kinds = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}
    tree = parsed(source)
    taken = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "prometheus_client"
        for alias in node.names
        if alias.name in kinds
    }
    return [
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in taken
    ]


def test_metrics_are_made_from_declarations_only() -> None:
    ours = [path for path in ROOT.glob("*/**/*.py") if path.parts[len(ROOT.parts)] not in {".venv", "tests"}]
    found = {
        str(path.relative_to(ROOT)): made
        for path in ours
        if path.parent != ROOT / "kit" / "metrics" and (made := made_elsewhere(path.read_text()))
    }

    assert len(ours) > 200
    assert found == {}
    assert made_elsewhere("from prometheus_client import Gauge as G\nG('x', 'y')") == ["G"]


def test_a_counter_is_at_0_in_each_of_its_series_before_anything_happened() -> None:
    made = CollectorRegistry()
    counter(serving.ALERT_DELIVERIES, made)
    counter(serving.API_REQUESTS, made)

    text = generate_latest(made).decode()

    assert text.count("runmeter_console_api_alert_deliveries_total{") == 4
    assert unborn("console_api", text) == []
    assert "runmeter_console_api_requests_total{" not in text, "the routes are another registry's"
    assert dict(serving.ALERTS.labels)["kind"].values == get_args(AlertKind)


def test_a_role_tells_its_letters_before_the_first() -> None:
    producer = cast(AIOKafkaProducer, None)
    DeadLetters(producer, "export-new/0", now_ms, 500, role="export-new", reasons=port.REASONS)
    of("new")

    text = generate_latest().decode()

    for reason in port.REASONS:
        assert f'runmeter_dead_letters_total{{reason="{reason}",role="export-new"}} 0.0' in text
        assert f'runmeter_exports_refused_records_total{{destination="new",reason="{reason}"}} 0.0' in text
    assert {label_of("status_422"), label_of("status_400")} == {"status_4xx"}
    assert label_of("too_old") == "too_old"


def test_what_is_not_declared_or_not_exposed_is_found() -> None:
    wrong = wrongs("relay", "# TYPE runmeter_new gauge\nrunmeter_new 1\n# TYPE runmeter_lag_records gauge\n")

    assert "runmeter_new is not declared" in wrong
    assert "runmeter_lag_records is not relay's" in wrong
    assert "runmeter_relay_outbox_batches is not exposed" in wrong
    assert unborn("metering", "# TYPE runmeter_metering_seeks counter\n")[:1] == ["runmeter_dead_letters"]
