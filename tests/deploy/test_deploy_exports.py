"""Exports deployed: the example destinations are valid, and their processes are told what they need."""

from __future__ import annotations

from pathlib import Path

import pytest
from deployment_files import DOCKER, EXPORTS, compose, environment, manifests, of_kind, workloads

from kit.settings import exports
from stack.secrets.lint import known_variables

PORTS = {"billing": "18100", "export-archive": "18101"}


def test_the_composed_exporter_serves_a_destination_of_the_file_it_is_given() -> None:
    service = compose()["services"]["export-archive"]
    told = service["environment"]
    assert f"./exports.toml:{told['RUNMETER_EXPORTS_FILE']}:ro" in service["volumes"]
    chosen = told["RUNMETER_EXPORTS_DESTINATION"]
    assert chosen in exports.destinations(str(DOCKER / "exports.toml"), chosen)
    for name, port in PORTS.items():
        environment_of = compose()["services"][name]["environment"]
        assert environment_of["RUNMETER_WORKER_METRICS_PORT"] == port
        assert not set(environment_of) - known_variables()


def test_the_manifests_exporter_finds_its_destination_and_its_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = manifests(EXPORTS)
    file = tmp_path / "exports.toml"
    file.write_text(of_kind(documents, "ConfigMap")["runmeter-exports"]["data"]["exports.toml"])
    for item in of_kind(documents, "ExternalSecret")["export-archive-env"]["spec"]["data"]:
        monkeypatch.setenv(item["secretKey"], "from-vault")

    found = exports.destinations(str(file))["archive"]

    assert isinstance(found, exports.FilesDestination)
    assert found.secret_key is not None
    assert found.secret_key.get_secret_value() == "from-vault"


@pytest.mark.parametrize("name", sorted(PORTS))
def test_an_exporting_workload_has_its_port_probes_budget_and_policy(name: str) -> None:
    base = [one for one in manifests() if one["kind"] == "ConfigMap"]
    documents = [*base, *manifests(EXPORTS)]
    told = environment(documents, name)
    assert {"RUNMETER_WORKER_METRICS_PORT", "RUNMETER_KAFKA_BOOTSTRAP"} <= told
    assert ("RUNMETER_REDIS_URL" in told) == (name == "billing")
    assert {variable for variable in told if variable.startswith("RUNMETER_")} <= known_variables()
    container = workloads(documents)[name]["spec"]["template"]["spec"]["containers"][0]
    assert str(container["ports"][0]["containerPort"]) == PORTS[name]
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    labels = {"app.kubernetes.io/name": name}
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
        spec = of_kind(documents, kind)[name]["spec"]
        assert (spec.get("selector") or spec["podSelector"])["matchLabels"] == labels
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    volumes = workloads(documents)[name]["spec"]["template"]["spec"]["volumes"]
    assert mounted == {volume["name"] for volume in volumes}
