"""Every role that has metrics is deployed and asked for them; what is found reaches somebody."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from deployment_files import BASE, DOCKER, EXPORTS, OVERLAYS, compose, manifests, of_kind, workloads
from role_imports import ENTRIES, ROOT, imports

from kit.metrics import registry
from stack import prometheus_rule

#: Roles whose process is called otherwise: an exporter after its destination.
SERVICES = {"console_api": "console-api", "exports": "export-archive", "reconcile": "operate"}
ROLES = sorted({role for metric in registry.ALL for role in metric.roles})
RUNNING = workloads([*manifests(BASE), *manifests(EXPORTS)])
MONITORING = manifests(DOCKER / "k8s" / "monitoring")
PROMETHEUS = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yaml").read_text())
ALERTS = (DOCKER / "prometheus" / "alerts.yaml").read_text()
DASHBOARDS = ROOT / "docs" / "dashboards"
SERVICES_OF_COMPOSE: dict[str, Any] = compose()["services"]


def _targets() -> dict[str, int]:
    """Return the port that Prometheus of compose asks, by service."""
    [job] = PROMETHEUS["scrape_configs"]
    targets = [target.partition(":") for one in job["static_configs"] for target in one["targets"]]
    return {name: int(port) for name, _, port in targets}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_with_metrics_is_deployed_and_asked(role: str) -> None:
    name = SERVICES.get(role, role)
    assert name in SERVICES_OF_COMPOSE
    [container] = RUNNING[name]["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": _targets()[name]}]


def test_nobody_is_asked_who_does_not_run() -> None:
    assert set(_targets()) == {SERVICES.get(role, role) for role in ROLES}
    assert set(_targets()) | {"console"} == set(RUNNING)


def test_in_kubernetes_the_same_are_asked_and_called_the_same() -> None:
    monitor = of_kind(MONITORING, "PodMonitor")["runmeter"]["spec"]
    [kept_out] = monitor["selector"]["matchExpressions"]
    assert (kept_out["key"], kept_out["operator"]) == ("app.kubernetes.io/name", "NotIn")
    for name, one in RUNNING.items():
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert monitor["selector"]["matchLabels"].items() <= labels.items()
        assert (name in kept_out["values"]) == (name not in _targets())
        assert labels[monitor["jobLabel"]] == name
    [static] = PROMETHEUS["scrape_configs"][0]["static_configs"]
    [part_of] = monitor["podTargetLabels"]
    assert static["labels"] == {part_of.replace(".", "_").replace("/", "_").replace("-", "_"): "runmeter"}
    [(label, value)] = static["labels"].items()
    assert f'up{{{label}="{value}"}} == 0' in ALERTS


def test_kubernetes_has_the_rules_of_compose() -> None:
    file = DOCKER / "k8s" / "monitoring" / "rules.yaml"
    assert file.read_text() == prometheus_rule.render(ALERTS), "run `make prometheus-rule`"
    [rule] = of_kind(MONITORING, "PrometheusRule").values()
    assert rule["spec"] == yaml.safe_load(ALERTS)
    [production] = [folder for folder in OVERLAYS if folder.name == "production"]
    assert {"PodMonitor", "PrometheusRule"} <= {one["kind"] for one in manifests(production)}


def test_alerts_of_compose_go_to_alertmanager() -> None:
    [target] = PROMETHEUS["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    assert target == "alertmanager:9093"
    assert SERVICES_OF_COMPOSE["alertmanager"]["profiles"] == SERVICES_OF_COMPOSE["prometheus"]["profiles"]


def _receivers(folder: Path, **told: str) -> subprocess.CompletedProcess[str]:
    """Start Alertmanager as compose does; in its place something that shows its configuration."""
    shown = folder / "alertmanager"
    shown.write_text('#!/bin/sh\ncat "${1#--config.file=}"\n')
    shown.chmod(0o755)
    service = SERVICES_OF_COMPOSE["alertmanager"]
    env = {**dict.fromkeys(service["environment"], ""), **told}
    env |= {"PATH": f"{folder}:{os.environ['PATH']}", "TMPDIR": str(folder)}
    shell, script, *options = service["entrypoint"]
    assert script == "/etc/alertmanager/start.sh"
    command = [shell, str(DOCKER / "alertmanager" / "start.sh"), *options]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_a_webhook_and_an_address_are_told_and_no_secret_stands_in_the_configuration(tmp_path: Path) -> None:
    said = _receivers(
        tmp_path,
        ALERTMANAGER_WEBHOOK_URL="https://hooks.example.com/s3cret",
        ALERTMANAGER_MAIL_TO="ops@example.com",
        SMTP_HOST="smtp.example.com",
        SMTP_USER="o'brien",
        SMTP_PASSWORD="s3cret",
        SMTP_SENDER="Runmeter <alerts@example.com>",
    )
    assert "s3cret" not in said.stdout + said.stderr
    [receiver] = yaml.safe_load(said.stdout)["receivers"]
    [hook], [mail] = receiver["webhook_configs"], receiver["email_configs"]
    assert Path(hook["url_file"]).read_text() == "https://hooks.example.com/s3cret"
    assert Path(mail.pop("auth_password_file")).read_text() == "s3cret"
    assert mail == {
        "to": "ops@example.com",
        "from": "Runmeter <alerts@example.com>",
        "smarthost": "smtp.example.com:587",
        "auth_username": "o'brien",
    }


def test_who_names_nobody_is_told_so_and_mail_takes_a_server(tmp_path: Path) -> None:
    nobody = _receivers(tmp_path)
    assert "set ALERTMANAGER_WEBHOOK_URL or ALERTMANAGER_MAIL_TO" in nobody.stderr
    config = yaml.safe_load(nobody.stdout)
    assert config["receivers"] == [{"name": config["route"]["receiver"]}]
    without = _receivers(tmp_path, ALERTMANAGER_MAIL_TO="ops@example.com")
    assert without.returncode == 1
    assert "RUNMETER_SMTP_HOST" in without.stderr


def test_grafana_has_its_sources_and_dashboards_and_no_empty_password() -> None:
    service = SERVICES_OF_COMPOSE["grafana"]
    assert service["environment"]["GF_SECURITY_ADMIN_PASSWORD"].startswith("${GRAFANA_PASSWORD:?")
    mounted = dict(volume.removesuffix(":ro").rsplit(":", 1) for volume in service["volumes"])
    for kind in ("datasources", "dashboards"):
        assert mounted[f"./grafana/{kind}"] == f"/etc/grafana/provisioning/{kind}"
    [provider] = yaml.safe_load((DOCKER / "grafana" / "dashboards" / "runmeter.yaml").read_text())[
        "providers"
    ]
    assert provider["options"]["path"] == mounted["../docs/dashboards"]
    sources = yaml.safe_load((DOCKER / "grafana" / "datasources" / "runmeter.yaml").read_text())[
        "datasources"
    ]
    asked = {
        variable["query"]
        for path in DASHBOARDS.glob("*.json")
        for variable in json.loads(path.read_text())["templating"]["list"]
        if variable["type"] == "datasource"
    }
    assert {source["type"] for source in sources} == asked
    [clickhouse] = [source for source in sources if source["type"] != "prometheus"]
    plugin, _, version = service["environment"]["GF_PLUGINS_PREINSTALL_SYNC"].partition("@")
    assert plugin == clickhouse["type"]
    assert version
    assert clickhouse["secureJsonData"]["password"].removeprefix("$") in service["environment"]


def test_traces_may_leave_and_whoever_makes_them_is_told_where_to() -> None:
    [rule] = of_kind(manifests(BASE), "NetworkPolicy")["traces"]["spec"]["egress"]
    assert rule["ports"] == [{"port": 4318}]
    for image, (entry, *_) in ENTRIES.items():
        if "opentelemetry.sdk" in imports(entry)[1]:
            name = SERVICES.get(image, image)
            assert "RUNMETER_OTLP_ENDPOINT" in SERVICES_OF_COMPOSE[name]["environment"], name
