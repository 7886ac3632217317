"""Every role that has metrics is deployed, and Prometheus asks it for them."""

from __future__ import annotations

import pytest
import yaml
from deployment_files import BASE, DOCKER, EXPORTS, compose, manifests, workloads

from kit.metrics import registry

#: Roles whose process is called otherwise: an exporter after its destination.
SERVICES = {"console_api": "console-api", "exports": "export-archive", "reconcile": "operate"}
ROLES = sorted({role for metric in registry.ALL for role in metric.roles})
RUNNING = workloads([*manifests(BASE), *manifests(EXPORTS)])


def _targets() -> dict[str, int]:
    """Return the port that Prometheus of compose asks, by service."""
    [job] = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yaml").read_text())["scrape_configs"]
    targets = [target.partition(":") for one in job["static_configs"] for target in one["targets"]]
    return {name: int(port) for name, _, port in targets}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_with_metrics_is_deployed_and_asked(role: str) -> None:
    name = SERVICES.get(role, role)
    assert name in compose()["services"]
    [container] = RUNNING[name]["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": _targets()[name]}]


def test_nobody_is_asked_who_does_not_run() -> None:
    assert set(_targets()) == {SERVICES.get(role, role) for role in ROLES}
    assert set(_targets()) | {"console"} == set(RUNNING)
