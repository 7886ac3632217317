"""The embedded stack: everything on one machine."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from kit.settings.base import Settings


class IssuerSettings(Settings):
    """The embedded OpenID Connect issuer, for development: whoever has its one password is everybody."""

    model_config = SettingsConfigDict(env_prefix="RUNMETER_ISSUER_")
    #: A loopback address.
    host: str = "127.0.0.1"
    port: int = Field(default=18089, ge=1, le=65_535)
    #: What browsers and services reach it by, and what tokens name as issuer. Empty: from host and port.
    url: str = Field(default="", pattern=r"^(https?://[A-Za-z0-9._:/\[\]-]*[A-Za-z0-9\]])?$")
    #: Where clients may be answered: `client_id=redirect_uri`, comma-separated; repeat a client for another
    #: address of it. `runmeter up` adds its console.
    clients: str = ""
    #: Where clients may send people after a sign-out, written the same way.
    sign_out_uris: str = ""
    #: Of every development user. Empty: one is made up and kept in `issuer/password` in the data folder.
    password: SecretStr = SecretStr("")

    @property
    def issuer_url(self) -> str:
        """The URL, as tokens name it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.url or f"http://{host}:{self.port}"


class StackSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_")
    data_dir: Path = Path(".runmeter")
    log_level: str = "INFO"


class EmbeddedSettings(Settings):
    """Where the embedded servers listen; a port that is taken is replaced by a free one."""

    model_config = SettingsConfigDict(env_prefix="RUNMETER_EMBEDDED_")
    kafka_port: int = Field(default=19092, ge=1, le=65_535)
    kafka_controller_port: int = Field(default=19093, ge=1, le=65_535)
    valkey_port: int = Field(default=16379, ge=1, le=65_535)
    clickhouse_port: int = Field(default=18123, ge=1, le=65_535)
    provider_port: int = Field(default=18082, ge=1, le=65_535)
    metering_ops_port: int = Field(default=18085, ge=1, le=65_535)
    warehouse_ops_port: int = Field(default=18086, ge=1, le=65_535)
    relay_ops_port: int = Field(default=18087, ge=1, le=65_535)
    ingestion_ops_port: int = Field(default=18088, ge=1, le=65_535)
    #: Where something is exported: the billing worker, and from the next one on an exporter each.
    billing_ops_port: int = Field(default=18100, ge=1, le=65_535)
    exports_ops_port: int = Field(default=18101, ge=1, le=65_000)
    #: How often Valkey's state is copied to the checkpoints; 0 is never.
    checkpoint_interval_s: int = Field(default=60, ge=0, le=86_400)
    #: Multiplies the local model's delays; 0 answers at once.
    provider_time_scale: float = Field(default=1.0, ge=0, le=100)
