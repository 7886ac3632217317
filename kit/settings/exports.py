"""Where billing records are sent: a file of destinations, and what one exporter is told.

The file is TOML, one table per destination, and holds no secret: it names the environment variables that do.
"""

from __future__ import annotations

import os
import re
import tomllib
from base64 import b64decode
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError, model_validator
from pydantic_settings import SettingsConfigDict

from kit.settings.base import Settings
from kit.settings.stores import KafkaSettings, SaslMechanism, SecurityProtocol, check_access

NAME = r"[a-z][a-z0-9-]{0,39}"
Measure = Literal["runs", "tokens_in", "tokens_out", "tool_calls", "duration_ms", "charged_micro"]
_URL = r"^https?://[^\s@]+$"
_HOUR_MS = 3_600_000


class ExportsSettings(Settings):
    """Sending billing records elsewhere (`docs/exports.md`)."""

    model_config = SettingsConfigDict(env_prefix="RUNMETER_EXPORTS_")
    #: The destinations, a TOML file. Empty: nothing is exported.
    file: str = ""
    #: Which of them an exporter process serves.
    destination: str = ""
    #: Waits between attempts double from the first to the last, unless the receiver names a time.
    retry_min_ms: int = Field(default=500, ge=10, le=60_000)
    retry_max_ms: int = Field(default=60_000, ge=10, le=3_600_000)


class _Destination(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    #: Tenants whose records are sent; empty: all.
    tenants: tuple[str, ...] = ()
    #: Where a destination begins that never took anything: with what the log still has, or with what comes.
    start: Literal["earliest", "latest"] = "earliest"
    max_records: int = Field(default=100, ge=1, le=10_000)
    timeout_ms: int = Field(default=10_000, ge=100, le=600_000)
    flush_interval_ms: int = Field(default=200, ge=0, le=3_600_000)

    @model_validator(mode="before")
    @classmethod
    def _secrets(cls, given: Any) -> Any:
        """Put what `<field>_env` names into `<field>`; a secret itself may not stand in the file."""
        if not isinstance(given, dict):
            return given
        taken = dict(given)
        for name, field in cls.model_fields.items():
            if SecretStr not in (field.annotation, *getattr(field.annotation, "__args__", ())):
                continue
            if name in taken:
                raise ValueError(f"say `{name}_env`, the name of an environment variable that holds it")
            variable = taken.pop(f"{name}_env", None)
            if variable is None:
                continue
            if not isinstance(variable, str) or not os.environ.get(variable):
                raise ValueError(f"{name}_env names {variable!r}, which is not set in the environment")
            taken[name] = os.environ[variable]
        return taken


class OpenMeterDestination(_Destination):
    kind: Literal["openmeter"]
    url: str = Field(pattern=_URL)
    #: `token_env` in the file. A self-hosted OpenMeter may have none.
    token: SecretStr | None = None
    event_type: str = Field(default="runmeter.run", min_length=1, max_length=100)
    #: Whose usage OpenMeter counts.
    subject: Literal["org_id", "instance_id", "tenant_id"] = "org_id"


class StripeMeter(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    event_name: str = Field(min_length=1, max_length=100)
    measure: Measure


class StripeDestination(_Destination):
    kind: Literal["stripe"]
    #: `api_key_env` in the file.
    api_key: SecretStr
    api_base: str = Field(default="https://api.stripe.com", pattern=_URL)
    meters: tuple[StripeMeter, ...] = Field(min_length=1, max_length=10)
    #: Organisation → Stripe customer. One that is nobody's is a dead letter, or skipped.
    customers: dict[str, str] = Field(default_factory=dict, max_length=100_000)
    #: Who the others are. `control_plane`: whom its checkouts made customers; only for a key of the account,
    #: and mode, that these checkouts have.
    customers_from: Literal["file", "control_plane"] = "file"
    unknown_customer: Literal["dead_letter", "skip"] = "dead_letter"
    customer_key: str = Field(default="stripe_customer_id", min_length=1, max_length=100)
    value_key: str = Field(default="value", min_length=1, max_length=100)
    #: What to do with what a correction took back: Stripe's meters take it as a negative quantity.
    negative: Literal["send", "dead_letter"] = "send"
    #: Less than the 24 hours for which Stripe knows an identifier again.
    repeatable_ms: int = Field(default=23 * _HOUR_MS, ge=1_000, le=24 * _HOUR_MS)


class HttpDestination(_Destination):
    kind: Literal["http"]
    url: str = Field(pattern=_URL)
    #: `secret_env` in the file: `whsec_` and 24 to 64 bytes in base64.
    secret: SecretStr

    @model_validator(mode="after")
    def _is_signing_key(self) -> HttpDestination:
        if not 24 <= len(self.key) <= 64:
            raise ValueError("the secret that secret_env names is `whsec_` and 24 to 64 bytes in base64")
        return self

    @property
    def key(self) -> bytes:
        """The bytes that requests are signed with; none if the secret is none."""
        try:
            return b64decode(self.secret.get_secret_value().removeprefix("whsec_"), validate=True)
        except ValueError:
            return b""


class KafkaDestination(_Destination):
    kind: Literal["kafka"]
    bootstrap: str = Field(min_length=1)
    topic: str = Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")
    max_records: int = Field(default=1_000, ge=1, le=10_000)
    security_protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: SaslMechanism = "SCRAM-SHA-512"
    username: str = ""
    #: `password_env` in the file.
    password: SecretStr = SecretStr("")
    #: Certificates (PEM) that the brokers' are signed with. Empty: those that the machine trusts.
    ca_file: str = ""

    @model_validator(mode="after")
    def _can_be_reached(self) -> KafkaDestination:
        password = self.password.get_secret_value()
        given = {"username": self.username, "password_env": password, "ca_file": self.ca_file}
        check_access(self.security_protocol, given)
        return self

    @property
    def access(self) -> KafkaSettings:
        """Return the same as settings of ours. All is said: what our own Kafka is shown does not go there."""
        return KafkaSettings(
            bootstrap=self.bootstrap,
            security_protocol=self.security_protocol,
            sasl_mechanism=self.sasl_mechanism,
            sasl_username=self.username,
            sasl_password=self.password,
            ca_file=self.ca_file,
        )


class FilesDestination(_Destination):
    kind: Literal["files"]
    #: `s3://bucket/prefix` or a folder.
    url: str = Field(min_length=1)
    max_records: int = Field(default=10_000, ge=1, le=10_000)
    flush_interval_ms: int = Field(default=60_000, ge=0, le=3_600_000)
    #: `access_key_env` and `secret_key_env` in the file; without them the machine's own identity is used.
    access_key: SecretStr | None = None
    secret_key: SecretStr | None = None
    region: str = "us-east-1"
    #: Of an S3 that is not Amazon's.
    endpoint: str = Field(default="", pattern=r"^(https?://[^\s@]+)?$")


Destination = Annotated[
    OpenMeterDestination | StripeDestination | HttpDestination | KafkaDestination | FilesDestination,
    Field(discriminator="kind"),
]
_ADAPTER: TypeAdapter[dict[str, Destination]] = TypeAdapter(dict[str, Destination])


def names(file: str) -> list[str]:
    """Return the destinations' names without asking for their secrets. Raises `SystemExit`."""
    return sorted(_tables(file)) if file else []


def destinations(file: str, only: str = "") -> dict[str, Destination]:
    """Return the destinations of a file by name, secrets filled in, or `only` one of them.

    Raises `SystemExit` with the remedy: for a file that cannot be read, a table that says what it should not,
    a variable that is not set.
    """
    tables = _tables(file)
    if only and only not in tables:
        known = ", ".join(sorted(tables)) or "none"
        raise SystemExit(f"invalid settings: {file}: there is no destination {only!r}; there are: {known}")
    try:
        return _ADAPTER.validate_python({only: tables[only]} if only else tables)
    except ValidationError as error:
        lines = [
            f"destinations.{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False)
        ]
        raise SystemExit(f"invalid settings: {file}: " + "; ".join(lines)) from None


def _tables(file: str) -> dict[str, Any]:
    where = f"invalid settings: RUNMETER_EXPORTS_FILE={file}"
    try:
        content = tomllib.loads(Path(file).read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"{where}: the file cannot be read ({type(error).__name__})") from None
    except tomllib.TOMLDecodeError as error:
        raise SystemExit(f"{where}: {error}") from None
    tables = content.pop("destinations", {})
    if content or not isinstance(tables, dict):
        raise SystemExit(f"{where}: the file holds tables named [destinations.<name>] and nothing else")
    for name in tables:
        if not re.fullmatch(NAME, name):
            raise SystemExit(f"{where}: {name!r} is no name: use a-z, 0-9 and -, 40 characters at most")
    return tables
