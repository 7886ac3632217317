"""Stores and the log: where they are, and how they are used."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from kit.settings.base import Settings

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


def check_access(protocol: SecurityProtocol, given: Mapping[str, str]) -> None:
    """Raise `ValueError` where a protocol lacks what it needs, or what is given would not be used.

    `given`: the user's name, the password and the CA file, each by what it is called; empty: it is not given.
    """
    *credentials, (ca_name, ca_file) = given.items()
    for name, value in credentials:
        if protocol.startswith("SASL") != bool(value):
            raise ValueError(
                f"{protocol} needs a user: set {name}"
                if protocol.startswith("SASL")
                else f"{name} is set and would not be used: choose SASL_SSL, or take it out"
            )
    if ca_file and not protocol.endswith("SSL"):
        raise ValueError(f"{ca_name} is set and would not be used: choose SSL or SASL_SSL, or take it out")
    if ca_file:
        try:
            ssl.create_default_context(cafile=ca_file)
        except OSError:
            raise ValueError(f"{ca_name} names {ca_file!r}, which is no file of certificates (PEM)") from None


class KafkaSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_KAFKA_")
    bootstrap: str = "127.0.0.1:19092"
    #: How every process talks to the brokers. SSL and SASL_SSL encrypt; SASL_PLAINTEXT shows the password to
    #: whoever listens, unless the mechanism is a SCRAM.
    security_protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: SaslMechanism = "SCRAM-SHA-512"
    sasl_username: str = ""
    sasl_password: SecretStr = SecretStr("")
    #: Certificates (PEM) that the brokers' are signed with. Empty: those that the machine trusts.
    ca_file: str = ""
    #: Fixed when the topics are created: Redis keys carry the partition.
    partitions: int = Field(default=8, ge=1, le=4096)
    replication: int = Field(default=1, ge=1, le=9)
    #: Replicas that must have a record before it counts as published, set when the topics are created. 0: one
    #: fewer than there are, so that one broker may die.
    min_insync: int = Field(default=0, ge=0, le=9)
    #: How long one publish may wait for its acknowledgement before it goes to the spool.
    ack_timeout_ms: int = Field(default=2_000, ge=50, le=120_000)
    linger_ms: int = Field(default=0, ge=0, le=1_000)

    @model_validator(mode="after")
    def _can_be_written(self) -> KafkaSettings:
        if self.min_insync > self.replication:
            raise ValueError(
                f"{self.min_insync} of {self.replication} replicas can never be in sync: lower "
                "RUNMETER_KAFKA_MIN_INSYNC, or raise RUNMETER_KAFKA_REPLICATION"
            )
        return self

    @model_validator(mode="after")
    def _can_be_reached(self) -> KafkaSettings:
        named = [f"RUNMETER_KAFKA_{part}" for part in ("SASL_USERNAME", "SASL_PASSWORD", "CA_FILE")]
        password = self.sasl_password.get_secret_value()
        given = (self.sasl_username, password, self.ca_file)
        check_access(self.security_protocol, dict(zip(named, given, strict=True)))
        return self

    @property
    def in_sync(self) -> int:
        """Replicas that must have a record before it counts as published."""
        return self.min_insync or max(1, self.replication - 1)


class RedisSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_REDIS_")
    url: str = "redis://127.0.0.1:16379/0"
    #: The URL names one node of a cluster. All state of a partition is in one slot, so nothing else changes.
    cluster: bool = False
    timeout_ms: int = Field(default=2_000, ge=50, le=60_000)
    max_connections: int = Field(default=64, ge=1, le=10_000)


class ClickHouseSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_CLICKHOUSE_")
    url: str = "http://127.0.0.1:18123"
    user: str = "default"
    password: SecretStr = SecretStr("")
    database: str = "runmeter"
    #: The name of a cluster of several servers, as their configuration has it: tables are then replicated and
    #: spread over its shards. Empty: one server, or a service that replicates by itself.
    cluster: str = Field(default="", pattern=r"^\w*$", max_length=64)
    query_timeout_ms: int = Field(default=10_000, ge=100, le=600_000)
    #: How long raw events are kept; 0 is for ever. Runs and the ledger, which are the books, always are.
    raw_events_days: int = Field(default=0, ge=0, le=36_500)


class DatabaseSettings(Settings):
    """The control plane's database."""

    model_config = SettingsConfigDict(env_prefix="RUNMETER_DATABASE_")
    #: `postgresql://user:password@host/name` or `sqlite:///file`. Empty: `control.db` in the data folder.
    url: SecretStr = SecretStr("")
    max_connections: int = Field(default=10, ge=2, le=1_000)
    #: How long a statement waits for a lock, and a request for a free connection.
    busy_timeout_ms: int = Field(default=5_000, ge=100, le=60_000)


class SpoolSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_SPOOL_")
    max_bytes: int = Field(default=268_435_456, ge=1_048_576)


class TracingSettings(Settings):
    """Where traces go, by OTLP over HTTP."""

    model_config = SettingsConfigDict(env_prefix="RUNMETER_OTLP_")
    #: `http://host:4318`; `/v1/traces` is added. Empty: OTEL_EXPORTER_OTLP_ENDPOINT, without it no traces.
    endpoint: str = Field(default="", pattern=r"^(https?://\S+)?$")
    #: Sent with every export, such as a token: `name=value`, comma-separated.
    headers: SecretStr = SecretStr("")
    #: The share of traces that gateway and console API record; the others follow them.
    sample_ratio: float = Field(default=1.0, ge=0, le=1)
    timeout_ms: int = Field(default=5_000, ge=100, le=60_000)
    export_interval_ms: int = Field(default=1_000, ge=10, le=60_000)
    #: Spans that wait to be exported; more are dropped.
    max_queued_spans: int = Field(default=4_096, ge=16, le=1_000_000)

    @property
    def address(self) -> str:
        """The endpoint, or the one of the standard variable."""
        return self.endpoint or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")

    def header_fields(self) -> dict[str, str]:
        """Return the headers by name."""
        pairs = [part.partition("=") for part in self.headers.get_secret_value().split(",") if "=" in part]
        return {name.strip().lower(): value.strip() for name, _, value in pairs}
