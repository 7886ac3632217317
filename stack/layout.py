"""Which parts a stack has, where they listen, and what each is told by its environment."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kit.settings import (
    ClickHouseSettings,
    ConsoleApiSettings,
    ConsoleSettings,
    EmbeddedSettings,
    ExportsSettings,
    GatewaySettings,
    IssuerSettings,
    KafkaSettings,
    RedisSettings,
    RunnerSettings,
)
from kit.settings.exports import destinations
from stack import ports, servers
from stack.access import DemoAccess
from stack.process import ChildSpec
from stack.state import Urls

#: Setting → the part it replaces: where it is set, `up` uses what it names and does not start the part.
REPLACED_BY: Mapping[str, str] = {
    "kafka": "RUNMETER_KAFKA_BOOTSTRAP",
    "valkey": "RUNMETER_REDIS_URL",
    "clickhouse": "RUNMETER_CLICKHOUSE_URL",
    "provider": "RUNMETER_RUNNER_MODEL_BASE_URL",
    "issuer": "RUNMETER_OIDC_ISSUER",
}

#: The console at its issuer.
_CLIENT_ID = "runmeter-console"

_WORKERS = ("metering", "warehouse", "relay")
_EXPORT = "export-"
#: What only shows usage, or nobody waits for.
_BEHIND = frozenset({"warehouse", "console_api", "console", "ingestion", "billing"})


def is_replaced(part: str) -> bool:
    """Return whether a setting names another server for this part."""
    return bool(os.environ.get(REPLACED_BY[part]))


@dataclass(frozen=True)
class Layout:
    """Ports and addresses of one stack."""

    data_dir: Path
    ports: Mapping[str, int]
    demo: DemoAccess
    #: What this stack's gateway shows its runner; the next stack has another one.
    service_token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def kafka(self) -> KafkaSettings:
        if is_replaced("kafka"):
            return KafkaSettings()
        return KafkaSettings(bootstrap=f"127.0.0.1:{self.ports['kafka']}")

    @property
    def redis(self) -> RedisSettings:
        return (
            RedisSettings()
            if is_replaced("valkey")
            else RedisSettings(url=self._url("redis", "valkey") + "/0")
        )

    @property
    def clickhouse(self) -> ClickHouseSettings:
        if is_replaced("clickhouse"):
            return ClickHouseSettings()
        return ClickHouseSettings(url=self._url("http", "clickhouse"))

    @property
    def model_base_url(self) -> str:
        if is_replaced("provider"):
            return RunnerSettings().model_base_url
        return self._url("http", "provider") + "/v1"

    @property
    def issuer_url(self) -> str:
        """Who signs people in. Users are found by it, so it stays the same across restarts."""
        if is_replaced("issuer"):
            return os.environ[REPLACED_BY["issuer"]]
        return IssuerSettings().url or self._url("http", "issuer")

    @property
    def urls(self) -> Urls:
        """Where everything answers."""
        return Urls(
            gateway_url=self._url("http", "gateway"),
            console_api_url=self._url("http", "console_api"),
            console_url=self._url("http", "console"),
            issuer_url=self.issuer_url,
            clickhouse_url=self.clickhouse.url,
            kafka_bootstrap=self.kafka.bootstrap,
            redis_url=self.redis.url,
        )

    def _url(self, scheme: str, part: str) -> str:
        return f"{scheme}://127.0.0.1:{self.ports[part]}"

    def environment(self) -> dict[str, str]:
        """Return what every child is told."""
        return {
            "RUNMETER_DATA_DIR": str(self.data_dir.resolve()),
            "RUNMETER_KAFKA_BOOTSTRAP": self.kafka.bootstrap,
            "RUNMETER_REDIS_URL": self.redis.url,
            "RUNMETER_CLICKHOUSE_URL": self.clickhouse.url,
            "RUNMETER_RUNNER_MODEL_BASE_URL": self.model_base_url,
            "RUNMETER_GATEWAY_PORT": str(self.ports["gateway"]),
            "RUNMETER_GATEWAY_RUNNER_URL": self._url("http", "runner"),
            "RUNMETER_GATEWAY_TRUSTED_PROXIES": GatewaySettings().trusted_proxies or "127.0.0.1",
            "RUNMETER_GATEWAY_SPOOL_DIR": str((self.data_dir / "spool" / "gateway").resolve()),
            "RUNMETER_RUNNER_PORT": str(self.ports["runner"]),
            "RUNMETER_RUNNER_SPOOL_DIR": str((self.data_dir / "spool" / "runner").resolve()),
            "RUNMETER_INGESTION_SPOOL_DIR": str((self.data_dir / "spool" / "ingestion").resolve()),
            "RUNMETER_CONSOLE_API_PORT": str(self.ports["console_api"]),
            "RUNMETER_CONSOLE_PORT": str(self.ports["console"]),
            "RUNMETER_CONSOLE_API_URL": self._url("http", "console_api"),
            "RUNMETER_CONSOLE_GATEWAY_URL": self._url("http", "gateway"),
            "RUNMETER_CONSOLE_BASE_URL": self._url("http", "console"),
            # On one's own machine nobody should need a card to try what buying does.
            "RUNMETER_PAYMENTS_DUMMY": os.environ.get("RUNMETER_PAYMENTS_DUMMY", "true"),
            "RUNMETER_PAYMENTS_RETURN_URL": self._url("http", "console") + "/account/orders",
        }

    def servers(self) -> list[ChildSpec]:
        """Return the parts that are not ours and not replaced."""
        specs: list[ChildSpec] = []
        if not is_replaced("kafka"):
            data = self.data_dir / "kafka"
            specs.append(servers.kafka(data, self.ports["kafka"], self.ports["kafka_controller"]))
        if not is_replaced("valkey"):
            specs.append(servers.valkey(self.data_dir / "valkey", self.ports["valkey"]))
        if not is_replaced("clickhouse"):
            specs.append(servers.clickhouse(self.data_dir / "clickhouse", self.ports["clickhouse"]))
        if not is_replaced("provider"):
            specs.append(servers.provider(self.ports["provider"], EmbeddedSettings().provider_time_scale))
        return specs

    def edge_services(self) -> list[ChildSpec]:
        """Return the HTTP services: they start without the servers and wait for them."""
        console_api, console = self._sign_in()
        shown = _or_set({"RUNMETER_RUNNER_SERVICE_TOKENS": self.service_token})
        services = [
            self._service("runner", "runner", self.ports["runner"], shown),
            self._service("gateway", "gateway", self.ports["gateway"], shown),
            self._service("console_api", "console_api", self.ports["console_api"], console_api),
            self._service("console", "console", self.ports["console"], console),
        ]
        if not is_replaced("issuer"):
            services.append(self._issuer())
        return services

    def _sign_in(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return what the console API and the console are told of the issuer. What is set stays."""
        console_api = {
            "RUNMETER_OIDC_ISSUER": self.issuer_url,
            "RUNMETER_OIDC_AUDIENCE": "runmeter",
            "RUNMETER_OIDC_TENANT_ID": self.demo.tenant_id,
        }
        console = {
            "RUNMETER_CONSOLE_OIDC_ISSUER": self.issuer_url,
            "RUNMETER_CONSOLE_OIDC_CLIENT_ID": _CLIENT_ID,
        }
        return _or_set(console_api), _or_set(console)

    def _issuer(self) -> ChildSpec:
        settings, console = IssuerSettings(), self._url("http", "console")
        ours = (f"{_CLIENT_ID}={console}/sign-in/callback", f"{_CLIENT_ID}={console}/sign-in")
        env = {
            "RUNMETER_ISSUER_HOST": "127.0.0.1",
            "RUNMETER_ISSUER_PORT": str(self.ports["issuer"]),
            "RUNMETER_ISSUER_URL": self.issuer_url,
            "RUNMETER_ISSUER_CLIENTS": _with(settings.clients, ours[0]),
            "RUNMETER_ISSUER_SIGN_OUT_URIS": _with(settings.sign_out_uris, ours[1]),
        }
        return self._service("issuer", "stack.issuer", self.ports["issuer"], env)

    def workers(self) -> list[ChildSpec]:
        """Return the workers: they need the topics and the tables."""
        streams = [
            self._service(
                name,
                f"streams.{name}",
                self.ports[f"{name}_ops"],
                {"RUNMETER_WORKER_METRICS_PORT": str(self.ports[f"{name}_ops"])},
            )
            for name in _WORKERS
        ]
        ops = self.ports["ingestion_ops"]
        told = {"RUNMETER_INGESTION_METRICS_PORT": str(ops)}
        return [*streams, self._service("ingestion", "ingestion", ops, told), *self._exporters()]

    def _exporters(self) -> list[ChildSpec]:
        """Return the billing worker and one exporter per destination; none where nothing is exported."""
        file = ExportsSettings().file
        specs: list[ChildSpec] = []
        for name in _exporting():
            port = self.ports[f"{name}_ops"]
            env = {"RUNMETER_WORKER_METRICS_PORT": str(port)}
            if name != "billing":
                env["RUNMETER_EXPORTS_FILE"] = str(Path(file).resolve())
                env["RUNMETER_EXPORTS_DESTINATION"] = name.removeprefix(_EXPORT)
            module = "streams.billing" if name == "billing" else "streams.exports"
            specs.append(self._service(name, module, port, env))
        return specs

    def _service(self, name: str, module: str, port: int, env: Mapping[str, str] | None = None) -> ChildSpec:
        return ChildSpec(
            name,
            (sys.executable, "-m", module),
            env={**self.environment(), **(env or {})},
            ready=servers.http_ready(port, "/healthz" if name == "console" else "/readyz"),
            niceness=servers.BEHIND if name in _BEHIND or name.startswith(_EXPORT) else 0,
        )


def _exporting() -> list[str]:
    """Return the names of the parts that exporting takes, the billing worker first.

    Raises `SystemExit` with the remedy for a file, or a variable that it names, that is not as it should be.
    """
    file = ExportsSettings().file
    found = sorted(destinations(file)) if file else []
    return ["billing", *(f"{_EXPORT}{name}" for name in found)] if found else []


def _or_set(env: Mapping[str, str]) -> dict[str, str]:
    return {name: os.environ.get(name) or value for name, value in env.items()}


def _with(listed: str, one: str) -> str:
    return f"{listed},{one}" if listed else one


def plan(data_dir: Path, remembered: Mapping[str, int], demo: DemoAccess) -> Layout:
    """Return a layout with free ports: the remembered ones, else the settings', else any."""
    embedded = EmbeddedSettings()
    wanted = {
        "kafka": embedded.kafka_port,
        "kafka_controller": embedded.kafka_controller_port,
        "valkey": embedded.valkey_port,
        "clickhouse": embedded.clickhouse_port,
        "provider": embedded.provider_port,
        "gateway": GatewaySettings().port,
        "runner": RunnerSettings().port,
        "console_api": ConsoleApiSettings().port,
        "console": ConsoleSettings().port,
        "issuer": IssuerSettings().port,
        "metering_ops": embedded.metering_ops_port,
        "warehouse_ops": embedded.warehouse_ops_port,
        "relay_ops": embedded.relay_ops_port,
        "ingestion_ops": embedded.ingestion_ops_port,
    }
    for number, name in enumerate(_exporting()):
        # The first is the billing worker; the exporters' ports follow one another.
        wanted[f"{name}_ops"] = (
            embedded.exports_ops_port + number - 1 if number else embedded.billing_ops_port
        )
    return Layout(data_dir, ports.choose(wanted, remembered), demo)
