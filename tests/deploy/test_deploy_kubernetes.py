"""The manifests: probes on real paths, limits, policies, and variables that are read."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from deployment_files import BASE, EXPORTS, OVERLAYS, PORTS, environment, manifests, of_kind, pods, workloads
from test_deploy_compose import REQUIRED

from ingestion.consumer import GROUP
from schemas import topics
from stack.secrets.lint import known_variables, lint, secret_variables
from stack.secrets.manifests import read

BASE_DOCUMENTS = manifests()
ROLES = sorted(PORTS)


@pytest.mark.parametrize("folder", [BASE, *OVERLAYS], ids=lambda folder: folder.name)
def test_every_resource_and_target_of_a_patch_exists(folder: object) -> None:
    documents = manifests(folder)  # type: ignore[arg-type]
    identities = [(one["kind"], one["metadata"]["name"]) for one in documents]
    assert len(set(identities)) == len(identities)
    assert set(workloads(documents)) == set(PORTS)
    partitions = int(
        of_kind(documents, "ConfigMap")["runmeter-settings"]["data"]["RUNMETER_KAFKA_PARTITIONS"]
    )
    for name, scaler in of_kind(documents, "ScaledObject").items():
        assert scaler["spec"]["minReplicaCount"] <= scaler["spec"]["maxReplicaCount"] <= partitions, name


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="Kustomize itself needs kubectl")
@pytest.mark.parametrize("folder", [EXPORTS, *OVERLAYS], ids=lambda folder: folder.name)
def test_kustomize_renders_what_is_read_here(folder: Path) -> None:
    command = ["kubectl", "kustomize", str(folder)]
    rendered = subprocess.run(command, capture_output=True, text=True, check=False)
    assert rendered.returncode == 0, rendered.stderr
    found = [one for one in yaml.safe_load_all(rendered.stdout) if one]
    assert {(one["kind"], one["metadata"]["name"]) for one in found} == {
        (one["kind"], one["metadata"]["name"]) for one in manifests(folder)
    }


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_told_what_it_needs(role: str) -> None:
    told = environment(BASE_DOCUMENTS, role)
    assert not told - known_variables()
    assert not REQUIRED[role] - told


def test_jobs_are_told_where_to_connect_to() -> None:
    needed = {
        "prepare": "RUNMETER_REDIS_URL",
        "migrate-warehouse": "RUNMETER_CLICKHOUSE_PASSWORD",
        "migrate-database": "RUNMETER_DATABASE_URL",
    }
    for name, variable in needed.items():
        assert variable in environment(BASE_DOCUMENTS, f"{name}-0-1-0")


def test_settings_hold_no_secret_and_agree_with_the_ports() -> None:
    data = of_kind(BASE_DOCUMENTS, "ConfigMap")["runmeter-settings"]["data"]
    assert not set(data) & secret_variables()
    assert not lint(read([BASE]))
    assert all(isinstance(value, str) for value in data.values())
    for role in ("gateway", "runner", "console-api", "console"):
        prefix = f"RUNMETER_{role.upper().replace('-', '_')}"
        assert data[f"{prefix}_PORT"] == str(PORTS[role])
        assert data[f"{prefix}_HOST"] == "0.0.0.0"
    assert data["RUNMETER_INGESTION_METRICS_PORT"] == str(PORTS["ingestion"])


@pytest.mark.parametrize("role", ROLES)
def test_probes_ask_the_port_the_role_listens_on(role: str) -> None:
    container = workloads(BASE_DOCUMENTS)[role]["spec"]["template"]["spec"]["containers"][0]
    assert container["ports"] == [{"name": "http", "containerPort": PORTS[role]}]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == "http"
    # Liveness never asks a store: one that is away would have everything killed.
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    worker = role in {"metering", "warehouse", "relay", "ingestion", "operate"}
    assert container["readinessProbe"]["httpGet"]["path"] == ("/readyz" if worker else "/healthz")
    for item in container.get("env", []):
        if item["name"] == "RUNMETER_WORKER_METRICS_PORT":
            assert item["value"] == str(PORTS[role])


@pytest.mark.parametrize(
    ("owner", "spec"), list(pods(BASE_DOCUMENTS)), ids=lambda one: one if isinstance(one, str) else ""
)
def test_a_pod_may_do_nothing_it_need_not(owner: str, spec: dict[str, object]) -> None:
    assert spec["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] in of_kind(BASE_DOCUMENTS, "ServiceAccount")
    assert spec["securityContext"]["runAsNonRoot"] is True  # type: ignore[index]
    for container in spec["containers"]:  # type: ignore[attr-defined]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory"} <= set(container["resources"]["limits"]) & set(
            container["resources"]["requests"]
        )


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_its_budget_service_and_policy(role: str) -> None:
    labels = {"app.kubernetes.io/name": role}
    spec = workloads(BASE_DOCUMENTS)[role]["spec"]
    assert spec["selector"]["matchLabels"] == labels
    assert labels.items() <= spec["template"]["metadata"]["labels"].items()
    assert of_kind(BASE_DOCUMENTS, "PodDisruptionBudget")[role]["spec"]["selector"]["matchLabels"] == labels
    assert of_kind(BASE_DOCUMENTS, "Service")[role]["spec"]["ports"][0]["port"] == PORTS[role]
    policy = of_kind(BASE_DOCUMENTS, "NetworkPolicy")[role]["spec"]
    assert policy["podSelector"]["matchLabels"] == labels
    assert policy["ingress"][0]["ports"] == [{"port": PORTS[role]}]
    assert all(rule["ports"] and rule["to"] for rule in policy["egress"])


def test_what_no_policy_allows_is_denied() -> None:
    policies = of_kind(BASE_DOCUMENTS, "NetworkPolicy")
    assert policies["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    selected = {
        policy["spec"]["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/name")
        for policy in policies.values()
    }
    for one in of_kind(BASE_DOCUMENTS, "Job").values():
        assert one["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"] in selected


def test_scalers_name_what_exists() -> None:
    running = workloads(BASE_DOCUMENTS)
    for scaler in of_kind(BASE_DOCUMENTS, "HorizontalPodAutoscaler", "ScaledObject").values():
        target = scaler["spec"]["scaleTargetRef"]
        assert running[target["name"]]["kind"] == target["kind"]
        assert "replicas" not in running[target["name"]]["spec"], "an apply would undo what the scaler did"
    trigger = of_kind(BASE_DOCUMENTS, "ScaledObject")["ingestion"]["spec"]["triggers"][0]["metadata"]
    assert trigger["consumerGroup"] == GROUP
    assert trigger["topic"] in {topic.name for topic in topics.ALL}
