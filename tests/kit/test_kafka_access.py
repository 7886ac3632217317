"""What every client shows Kafka: made in one place, from settings that are checked together."""

from __future__ import annotations

import re
import socket
import ssl
from pathlib import Path
from typing import Any

import certifi
import pytest
from faust.auth import SASLCredentials, SSLCredentials
from pydantic import SecretStr, ValidationError

from kit import kafka_access
from kit.settings import KafkaSettings, load
from kit.settings.exports import KafkaDestination
from streams.credentials import credentials

ROOT = Path(__file__).parents[2]
PARTS = ("console_api", "gateway", "ingestion", "kit", "runner", "stack", "streams")
_CLIENT = re.compile(r"AIOKafka(Producer|Consumer|AdminClient)\(")
USER = {"sasl_username": "runmeter", "sasl_password": SecretStr("s3cret")}
BOTH = {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-256", **USER}
_BOOTSTRAP = {"bootstrap_servers": "127.0.0.1:19092", "client_id": socket.gethostname()}
_SASL = {"sasl_plain_username": "runmeter", "sasl_plain_password": "s3cret"}


@pytest.mark.parametrize(
    ("told", "options", "encrypted"),
    [
        ({}, {}, False),
        ({"security_protocol": "SSL"}, {"security_protocol": "SSL"}, True),
        (
            {"security_protocol": "SASL_PLAINTEXT", **USER},
            {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "SCRAM-SHA-512", **_SASL},
            False,
        ),
        (BOTH, {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-256", **_SASL}, True),
    ],
)
def test_a_client_is_told_what_its_protocol_needs(
    told: dict[str, Any], options: dict[str, Any], encrypted: bool
) -> None:
    made = kafka_access.options(KafkaSettings(**told))

    context = made.pop("ssl_context", None)
    assert made == _BOOTSTRAP | options
    assert (context is not None) == encrypted
    if context is not None:
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_worker_is_told_the_same_in_fausts_words() -> None:
    assert credentials(KafkaSettings()) is None
    assert isinstance(credentials(KafkaSettings(security_protocol="SSL")), SSLCredentials)
    both = credentials(KafkaSettings(**BOTH))  # type: ignore[arg-type]
    assert isinstance(both, SASLCredentials)
    assert (both.protocol.value, both.mechanism.value) == ("SASL_SSL", "SCRAM-SHA-256")
    assert (both.username, both.password) == ("runmeter", "s3cret")
    plain = credentials(KafkaSettings(security_protocol="SASL_PLAINTEXT", **USER))  # type: ignore[arg-type]
    assert plain is not None
    assert plain.protocol.value == "SASL_PLAINTEXT"
    assert "s3cret" not in f"{both!r} {plain!r}"


def test_a_private_authority_is_trusted_alone(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("".join(Path(certifi.where()).read_text().partition("-----END CERTIFICATE-----")[:2]))

    made = kafka_access.options(KafkaSettings(security_protocol="SSL", ca_file=str(file)))

    assert len(made["ssl_context"].get_ca_certs()) == 1


@pytest.mark.parametrize(
    ("told", "remedy"),
    [
        ({"security_protocol": "SASL_SSL"}, "set RUNMETER_KAFKA_SASL_USERNAME"),
        ({**BOTH, "sasl_password": SecretStr("")}, "set RUNMETER_KAFKA_SASL_PASSWORD"),
        (USER, "RUNMETER_KAFKA_SASL_USERNAME is set and would not be used: choose SASL_SSL"),
        ({"ca_file": __file__}, "RUNMETER_KAFKA_CA_FILE is set and would not be used"),
        (
            {"security_protocol": "SSL", "ca_file": "/nowhere.pem"},
            "'/nowhere.pem', which is no file of certificates",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused_with_the_remedy(
    told: dict[str, Any], remedy: str
) -> None:
    with pytest.raises(ValidationError, match=re.escape(remedy)) as refused:
        KafkaSettings(**told)
    assert "s3cret" not in str(refused.value)


def test_a_process_stops_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNMETER_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("RUNMETER_KAFKA_SASL_PASSWORD", "s3cret")
    load.cache_clear()
    with pytest.raises(SystemExit, match="set RUNMETER_KAFKA_SASL_USERNAME") as stopped:
        load(KafkaSettings)
    assert "s3cret" not in str(stopped.value)


def test_another_kafka_is_not_shown_what_ours_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNMETER_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("RUNMETER_KAFKA_SASL_USERNAME", "us")
    monkeypatch.setenv("RUNMETER_KAFKA_SASL_PASSWORD", "s3cret")
    told = {"kind": "kafka", "bootstrap": "lake:9092", "topic": "usage"}

    plain = KafkaDestination.model_validate(told)
    assert kafka_access.options(plain.access) == _BOOTSTRAP | {"bootstrap_servers": "lake:9092"}
    with pytest.raises(ValidationError, match="set password_env"):
        KafkaDestination.model_validate({**told, "security_protocol": "SASL_SSL", "username": "them"})
    monkeypatch.setenv("LAKE", "theirs")
    safe = {**told, "security_protocol": "SASL_SSL", "username": "them", "password_env": "LAKE"}
    made = kafka_access.options(KafkaDestination.model_validate(safe).access)
    assert (made["sasl_plain_username"], made["sasl_plain_password"]) == ("them", "theirs")


def test_no_client_is_made_without_it() -> None:
    ours = [path for part in PARTS for path in (ROOT / part).rglob("*.py")]
    spelled = {str(path.relative_to(ROOT)) for path in ours if "bootstrap_servers" in path.read_text()}
    made = [path for path in ours if _CLIENT.search(path.read_text())]

    assert len(made) > 10
    assert spelled == {"kit/kafka_access.py"}
    assert [path for path in made if "kafka_access.options(" not in path.read_text()] == []
