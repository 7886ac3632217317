"""The compose file tells each role what it reads, and nothing is open to the network."""

from __future__ import annotations

import re
from typing import Any

import pytest
from deployment_files import DOCKER, PORTS, compose, profile

from kit.settings import KafkaSettings
from stack.secrets.lint import known_variables, secret_variables

SERVICES: dict[str, Any] = compose()["services"]
#: What each role cannot do without in production.
REQUIRED = {
    "gateway": {
        "RUNMETER_GATEWAY_HOST",
        "RUNMETER_REDIS_URL",
        "RUNMETER_GATEWAY_RUNNER_URL",
        "RUNMETER_GATEWAY_SESSION_SECRETS",
        "RUNMETER_RUNNER_SERVICE_TOKENS",
    },
    "runner": {
        "RUNMETER_RUNNER_HOST",
        "RUNMETER_RUNNER_MODEL_BASE_URL",
        "RUNMETER_RUNNER_MODEL_API_KEY",
        "RUNMETER_RUNNER_SERVICE_TOKENS",
        "RUNMETER_REDIS_URL",
        "RUNMETER_SECRETS_KEYS",
        "RUNMETER_CLICKHOUSE_PASSWORD",
    },
    "console-api": {
        "RUNMETER_CONSOLE_API_HOST",
        "RUNMETER_DATABASE_URL",
        "RUNMETER_REDIS_URL",
        "RUNMETER_CLICKHOUSE_PASSWORD",
        "RUNMETER_SECRETS_KEYS",
        "RUNMETER_CONTROL_SERVICE_TOKEN",
        "RUNMETER_OIDC_ISSUER",
        "RUNMETER_KNOWLEDGE_BLOB_DIR",
    },
    "console": {
        "RUNMETER_CONSOLE_HOST",
        "RUNMETER_CONSOLE_API_URL",
        "RUNMETER_CONSOLE_BASE_URL",
        "RUNMETER_CONSOLE_OIDC_ISSUER",
    },
    "ingestion": {
        "RUNMETER_INGESTION_METRICS_HOST",
        "RUNMETER_INGESTION_METRICS_PORT",
        "RUNMETER_REDIS_URL",
        "RUNMETER_CLICKHOUSE_PASSWORD",
        "RUNMETER_KNOWLEDGE_BLOB_DIR",
    },
    "metering": {"RUNMETER_WORKER_METRICS_HOST", "RUNMETER_WORKER_METRICS_PORT", "RUNMETER_REDIS_URL"},
    "warehouse": {
        "RUNMETER_WORKER_METRICS_HOST",
        "RUNMETER_WORKER_METRICS_PORT",
        "RUNMETER_CLICKHOUSE_PASSWORD",
    },
    "relay": {"RUNMETER_WORKER_METRICS_HOST", "RUNMETER_WORKER_METRICS_PORT", "RUNMETER_REDIS_URL"},
    "operate": {
        "RUNMETER_REDIS_URL",
        "RUNMETER_CLICKHOUSE_PASSWORD",
        "RUNMETER_DATABASE_URL",
        "RUNMETER_EXPORTS_FILE",
        "RUNMETER_OIDC_ISSUER",
        "RUNMETER_RUNNER_MODEL_BASE_URL",
    },
}


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_a_role_is_told_what_it_needs_and_only_what_is_read(name: str) -> None:
    told = dict(SERVICES[name]["environment"])
    for path in SERVICES[name]["env_file"]:
        told.update(profile(path))
    assert not set(told) - known_variables()
    assert not REQUIRED[name] - set(told)
    for variable in set(told) & secret_variables():
        assert "${" in told[variable], f"{variable} stands in the file"
    for variable, value in told.items():
        if variable.endswith("METRICS_PORT"):
            assert int(value) == PORTS[name]


def test_settings_of_brokers_and_of_topics_agree() -> None:
    brokers = [service for name, service in SERVICES.items() if re.fullmatch(r"kafka-\d", name)]
    assert KafkaSettings.model_fields["replication"].default == 1
    told = profile("profiles/kafka-3.env")
    assert len(brokers) == int(told["RUNMETER_KAFKA_REPLICATION"]) == 3
    for broker in brokers:
        assert broker["environment"]["KAFKA_MIN_INSYNC_REPLICAS"] == told["RUNMETER_KAFKA_MIN_INSYNC"] == "2"
        assert broker["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert len({broker["environment"]["KAFKA_NODE_ID"] for broker in brokers}) == 3


@pytest.mark.parametrize("path", sorted((DOCKER / "profiles").glob("*.env")), ids=lambda path: path.stem)
def test_a_profile_says_only_what_is_read_and_no_secret(path: Any) -> None:
    told = profile(f"profiles/{path.name}")
    assert told
    assert not set(told) - known_variables()
    assert not set(told) & secret_variables()


def test_every_service_is_bounded_and_only_loopback_is_open() -> None:
    for name, service in SERVICES.items():
        assert {"cpus", "memory"} <= set(service["deploy"]["resources"]["limits"]), name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name
        if service["image"].startswith("runmeter/"):
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"], name


def test_what_is_waited_for_exists_and_can_be_well() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                ours = SERVICES[other]["image"].startswith("runmeter/")
                assert ours or "healthcheck" in SERVICES[other], f"{name} waits for {other}"
            else:
                assert how["condition"] == "service_completed_successfully"
                assert SERVICES[other]["restart"] == "on-failure", f"{other} never completes"


def test_volumes_networks_and_variables_are_declared() -> None:
    declared, text = set(compose()["volumes"]), (DOCKER / "compose.yaml").read_text()
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in declared or (DOCKER / source).exists(), name
    assert set(re.findall(r"\$\{(\w+)", text)) == set(profile(".env.template"))
