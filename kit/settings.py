"""Settings of every service, from `RUNMETER_*` environment variables. The only file that reads them.

Defaults are the embedded stack's. Each class is one concern; units are in the names. A wrong value stops the
process at start with the variable's name in the message.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="RUNMETER_")


class KafkaSettings(_Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_KAFKA_")
    bootstrap: str = "127.0.0.1:19092"
    #: Fixed when the topics are created: Redis keys carry the partition.
    partitions: int = Field(default=8, ge=1, le=4096)
    replication: int = Field(default=1, ge=1, le=9)
    #: How long one publish may wait for its acknowledgement before it goes to the spool.
    ack_timeout_ms: int = Field(default=2_000, ge=50, le=120_000)
    linger_ms: int = Field(default=0, ge=0, le=1_000)


class RedisSettings(_Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_REDIS_")
    url: str = "redis://127.0.0.1:16379/0"
    #: The URL names one node of a cluster. All state of a partition is in one slot, so nothing else changes.
    cluster: bool = False
    timeout_ms: int = Field(default=2_000, ge=50, le=60_000)
    max_connections: int = Field(default=64, ge=1, le=10_000)


class ClickHouseSettings(_Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_CLICKHOUSE_")
    url: str = "http://127.0.0.1:18123"
    user: str = "default"
    password: SecretStr = SecretStr("")
    database: str = "runmeter"
    query_timeout_ms: int = Field(default=10_000, ge=100, le=600_000)


class GatewaySettings(_Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_GATEWAY_")
    host: str = "127.0.0.1"
    port: int = Field(default=18080, ge=0, le=65_535)
    runner_url: str = "http://127.0.0.1:18081"
    spool_dir: Path = Path(".runmeter/spool/gateway")
    max_body_bytes: int = Field(default=1_048_576, ge=1_024, le=67_108_864)
    max_concurrent_runs: int = Field(default=2_000, ge=1, le=100_000)
    run_timeout_ms: int = Field(default=300_000, ge=1_000, le=3_600_000)
    #: A run whose gateway has not renewed its lease for this long is closed as `lost`.
    lease_ms: int = Field(default=15_000, ge=1_000, le=600_000)
    #: Backstop for a lost invalidation: an API key is looked up again after this long.
    key_cache_ttl_ms: int = Field(default=5_000, ge=0, le=300_000)
    #: How long an instance that may run unchecked is still known while Redis is away.
    key_stale_ttl_ms: int = Field(default=600_000, ge=0, le=86_400_000)
    answer_ttl_s: int = Field(default=86_400, ge=60, le=30 * 86_400)
    #: How long uses of keys are gathered for one write.
    key_uses_flush_ms: int = Field(default=10_000, ge=10, le=600_000)
    #: Sign widget sessions, comma-separated, 32 characters or more each. The first signs, all open: put a new
    #: one in front, and take the old one out after 12 h. Empty: gateways agree on one of their own in Redis.
    session_secrets: SecretStr = SecretStr("")
    #: Addresses or networks, comma-separated, whose `X-Forwarded-For` says who asks. Empty: nobody's does.
    trusted_proxies: str = ""


class WidgetSettings(_Settings):
    """Widget sessions. All rates are of one key; 0 is no limit."""

    model_config = SettingsConfigDict(env_prefix="RUNMETER_WIDGET_")
    session_ttl_s: int = Field(default=900, ge=1, le=3_600)
    #: However often it is refreshed, a session ends after this long.
    session_max_s: int = Field(default=43_200, ge=1, le=604_800)
    sessions_per_visitor_per_minute: int = Field(default=12, ge=0, le=1_000_000)
    #: An address may be an office; of an IPv6 one, its /64 counts.
    sessions_per_address_per_minute: int = Field(default=60, ge=0, le=1_000_000)
    sessions_per_key_per_day: int = Field(default=50_000, ge=0, le=1_000_000_000)
    runs_per_visitor_per_minute: int = Field(default=20, ge=0, le=1_000_000)
    runs_per_address_per_minute: int = Field(default=120, ge=0, le=1_000_000)
    runs_per_key_per_day: int = Field(default=50_000, ge=0, le=1_000_000_000)


class RunnerSettings(_Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_RUNNER_")
    host: str = "127.0.0.1"
    port: int = Field(default=18081, ge=0, le=65_535)
    spool_dir: Path = Path(".runmeter/spool/runner")
    model_base_url: str = "http://127.0.0.1:18082/v1"
    model_api_key: SecretStr = SecretStr("local-development")
    max_concurrent_runs: int = Field(default=2_000, ge=1, le=100_000)
    max_steps: int = Field(default=6, ge=1, le=64)
    max_tool_calls: int = Field(default=16, ge=0, le=256)
    tool_timeout_ms: int = Field(default=10_000, ge=100, le=300_000)
    #: What a tool answers beyond this is cut off: it is a part of the next call's input, which costs.
    max_tool_result_tokens: int = Field(default=1_024, ge=16, le=100_000)
    #: How long the gateway may take to decide on a step; longer than it waits for a client that reads slowly.
    step_timeout_ms: int = Field(default=40_000, ge=100, le=300_000)
    model_timeout_ms: int = Field(default=120_000, ge=1_000, le=3_600_000)
    #: A long stream reports its usage at least this often.
    report_every_ms: int = Field(default=1_000, ge=50, le=60_000)
    report_every_tokens: int = Field(default=200, ge=1, le=100_000)


class SpoolSettings(_Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_SPOOL_")
    max_bytes: int = Field(default=268_435_456, ge=1_048_576)


class WorkerSettings(_Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_WORKER_")
    #: Distinguishes the members of a worker group; a restarted worker takes its own partitions back at once.
    instance: str = "0"
    max_batch_records: int = Field(default=4_000, ge=1, le=50_000)
    session_timeout_ms: int = Field(default=6_000, ge=1_000, le=300_000)
    #: Assigned and lagging, but not advancing, for this long: the worker exits and is restarted.
    stall_timeout_ms: int = Field(default=30_000, ge=1_000, le=600_000)
    #: More poison than this share of a thousand records stops the worker: something is wrong upstream.
    max_poison_permille: int = Field(default=500, ge=1, le=1_000)
    run_state_ttl_s: int = Field(default=14 * 86_400, ge=60)
    #: How long the warehouse gathers rows for one insert, and the metering worker events for one script.
    flush_interval_ms: int = Field(default=150, ge=1, le=60_000)
    gather_ms: int = Field(default=10, ge=0, le=1_000)
    metrics_port: int = Field(default=0, ge=0, le=65_535)


class ConsoleApiSettings(_Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_CONSOLE_API_")
    host: str = "127.0.0.1"
    port: int = Field(default=18083, ge=0, le=65_535)
    #: Browser origins whose scripts may read answers, comma-separated; none by default.
    allowed_origins: str = ""
    live_interval_ms: int = Field(default=250, ge=50, le=10_000)
    live_max_lifetime_s: int = Field(default=900, ge=1, le=86_400)
    live_heartbeat_s: int = Field(default=10, ge=1, le=300)
    live_max_streams: int = Field(default=500, ge=1, le=100_000)


class DatabaseSettings(_Settings):
    """The control plane's database."""

    model_config = SettingsConfigDict(env_prefix="RUNMETER_DATABASE_")
    #: `postgresql://user:password@host/name` or `sqlite:///file`. Empty: `control.db` in the data folder.
    url: SecretStr = SecretStr("")
    max_connections: int = Field(default=10, ge=2, le=1_000)
    #: How long a statement waits for a lock, and a request for a free connection.
    busy_timeout_ms: int = Field(default=5_000, ge=100, le=60_000)


class SecretsSettings(_Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_SECRETS_")
    #: Fernet keys that stored credentials are sealed with, comma-separated. The first seals, all open.
    #: Empty: one key, made on first use, in `secrets.key` in the data folder. Set it in production.
    keys: SecretStr = SecretStr("")


class ControlSettings(_Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_CONTROL_")
    #: Opens the introspection of every tenant's API keys. Empty: only tenants' tokens do, for their own.
    service_token: SecretStr = SecretStr("")
    #: How often the outbox is looked at for what other processes wrote; own changes go out at once.
    relay_poll_ms: int = Field(default=200, ge=10, le=60_000)
    relay_batch: int = Field(default=200, ge=1, le=5_000)
    #: How long a relay that died silently holds up the others (SQLite only).
    lease_ms: int = Field(default=5_000, ge=500, le=600_000)
    outbox_keep_s: int = Field(default=7 * 86_400, ge=60)
    #: All projections are written again this often, and whenever Redis was restarted.
    project_every_s: int = Field(default=600, ge=1, le=86_400)
    collect_last_used_every_s: int = Field(default=30, ge=1, le=86_400)


class WebhookSettings(_Settings):
    """What payment providers tell us."""

    model_config = SettingsConfigDict(env_prefix="RUNMETER_WEBHOOKS_")
    #: Verified deliveries of one provider that one process takes; more are told to come again.
    max_per_minute: int = Field(default=1_200, ge=1, le=1_000_000)
    #: A delivery about something unknown yet is told again this often, and given up after that long.
    retell_every_s: int = Field(default=30, ge=1, le=86_400)
    early_for_s: int = Field(default=3 * 86_400, ge=60, le=90 * 86_400)
    #: Payloads name buyers; what was done with is kept without its payload after this.
    keep_payloads_days: int = Field(default=30, ge=1, le=3_650)


class OidcSettings(_Settings):
    """Who signs people in. With Keycloak: its realm, and a client with the audience in its tokens."""

    model_config = SettingsConfigDict(env_prefix="RUNMETER_OIDC_")
    #: As in the tokens' `iss`, e.g. `https://sso.example.com/realms/market`. Empty: nobody signs in by OIDC.
    issuer: str = ""
    #: What the tokens' `aud` (or `azp`) has to name.
    audience: str = "runmeter"
    #: Whose people they are; with a claim, each token says it, e.g. in `tenant`.
    tenant_id: str = ""
    tenant_claim: str = ""
    #: Where the tokens list roles, and which of them makes an operator of the tenant.
    roles_claim: str = "realm_access.roles"
    operator_role: str = "runmeter-operator"
    #: By how much two clocks may differ.
    leeway_s: int = Field(default=60, ge=0, le=600)
    timeout_ms: int = Field(default=5_000, ge=100, le=60_000)
    #: How long the issuer's public keys are believed, and how often they are asked for at most.
    keys_ttl_s: int = Field(default=3_600, ge=10, le=86_400)
    keys_refresh_s: int = Field(default=10, ge=1, le=3_600)


class PaymentsSettings(_Settings):
    """How buying goes, whoever collects the money."""

    model_config = SettingsConfigDict(env_prefix="RUNMETER_PAYMENTS_")
    #: Orders can be paid by saying so, without money. For trying out only.
    dummy: bool = False
    #: Where buyers come back to from a checkout.
    return_url: str = "http://127.0.0.1:18084/account/orders"
    #: For how long an instance goes on running after a payment failed.
    grace_s: int = Field(default=7 * 86_400, ge=0, le=90 * 86_400)
    #: Time alone ends periods and graces, and drips credits: how often that is looked at.
    settle_every_s: int = Field(default=60, ge=1, le=86_400)


class StripeSettings(_Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_STRIPE_")
    #: A secret or restricted key. Empty: no Stripe.
    api_key: SecretStr = SecretStr("")
    #: The tenant whose operators see what this account delivers. Empty: nobody; it may be several tenants'.
    tenant_id: str = ""
    #: Signing secrets of the webhook endpoint, comma-separated: the new one and the old while they rotate.
    webhook_secrets: SecretStr = SecretStr("")
    #: How old a signed delivery may be.
    webhook_tolerance_s: int = Field(default=300, ge=10, le=86_400)
    api_base: str = "https://api.stripe.com"
    timeout_ms: int = Field(default=10_000, ge=100, le=120_000)
    max_retries: int = Field(default=2, ge=0, le=10)


class SaleorSettings(_Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_SALEOR_")
    #: The shop, e.g. `https://shop.example.com`; its webhooks must name it. Empty: no Saleor.
    url: str = ""
    #: The tenant that this shop sells for.
    tenant_id: str = ""
    #: Only for a webhook that still has a secret key, which Saleor signs with HMAC instead of its RSA key.
    webhook_secret: SecretStr = SecretStr("")
    timeout_ms: int = Field(default=5_000, ge=100, le=60_000)
    #: How long the shop's public keys are believed, and how often they are asked for at most.
    keys_ttl_s: int = Field(default=3_600, ge=10, le=86_400)
    keys_refresh_s: int = Field(default=30, ge=1, le=3_600)


class KnowledgeSettings(_Settings):
    """Knowledge sources: where their bytes and chunks are, and how much of them an instance may have."""

    model_config = SettingsConfigDict(env_prefix="RUNMETER_KNOWLEDGE_")
    #: Shared by the console API and the ingestion workers. Empty: `blobs` in the data folder.
    blob_dir: str = ""
    store: Literal["clickhouse", "weaviate"] = "clickhouse"
    weaviate_url: str = "http://127.0.0.1:18090"
    weaviate_grpc_port: int = Field(default=18091, ge=1, le=65_535)
    weaviate_api_key: SecretStr = SecretStr("")
    max_sources: int = Field(default=200, ge=1, le=5_000)
    max_bytes: int = Field(default=1_073_741_824, ge=1_024)
    max_upload_bytes: int = Field(default=104_857_600, ge=1_024, le=1_073_741_824)
    max_site_pages: int = Field(default=200, ge=1, le=5_000)


class EmbeddingSettings(_Settings):
    """What turns text into vectors. Chunks are found by the model that they were embedded with."""

    model_config = SettingsConfigDict(env_prefix="RUNMETER_EMBEDDING_")
    #: An OpenAI-compatible base URL, such as `https://api.openai.com/v1`. Empty: `wordllama`, offline.
    base_url: str = ""
    api_key: SecretStr = SecretStr("")
    model: str = "text-embedding-3-small"
    batch_texts: int = Field(default=64, ge=1, le=2_048)
    timeout_ms: int = Field(default=30_000, ge=100, le=600_000)


class IngestionSettings(_Settings):
    """The ingestion worker. Every stage has its limits; what exceeds one fails with its reason."""

    model_config = SettingsConfigDict(env_prefix="RUNMETER_INGESTION_")
    spool_dir: Path = Path(".runmeter/spool/ingestion")
    metrics_port: int = Field(default=0, ge=0, le=65_535)
    concurrency: int = Field(default=2, ge=1, le=64)
    #: The whole of one source, whatever its stages.
    source_timeout_ms: int = Field(default=1_800_000, ge=1_000, le=86_400_000)
    fetch_timeout_ms: int = Field(default=20_000, ge=100, le=600_000)
    max_fetch_bytes: int = Field(default=20_971_520, ge=1_024, le=1_073_741_824)
    max_redirects: int = Field(default=5, ge=0, le=20)
    #: Hosts, comma-separated, that may be in a private network. None by default: a URL is a stranger's wish.
    private_hosts: str = ""
    crawl_delay_ms: int = Field(default=250, ge=0, le=60_000)
    crawl_timeout_ms: int = Field(default=900_000, ge=1_000, le=86_400_000)
    parse_timeout_ms: int = Field(default=120_000, ge=100, le=3_600_000)
    parse_cpu_s: int = Field(default=90, ge=1, le=3_600)
    parse_memory_bytes: int = Field(default=1_610_612_736, ge=268_435_456)
    max_file_bytes: int = Field(default=104_857_600, ge=1_024, le=1_073_741_824)
    max_text_chars: int = Field(default=10_000_000, ge=1_000, le=100_000_000)
    max_pages: int = Field(default=2_000, ge=1, le=100_000)
    chunk_tokens: int = Field(default=320, ge=32, le=4_096)
    chunk_overlap_tokens: int = Field(default=40, ge=0, le=1_024)
    max_chunks: int = Field(default=20_000, ge=1, le=1_000_000)
    user_agent: str = "RunmeterBot/1.0"


class ConsoleSettings(_Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_CONSOLE_")
    host: str = "127.0.0.1"
    port: int = Field(default=18084, ge=0, le=65_535)
    api_url: str = "http://127.0.0.1:18083"
    #: Signs every visitor in as this token's owner. For development on loopback only.
    access_token: SecretStr = SecretStr("")


class IssuerSettings(_Settings):
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


class StackSettings(_Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_")
    data_dir: Path = Path(".runmeter")
    log_level: str = "INFO"


class EmbeddedSettings(_Settings):
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
    #: How often Valkey's state is copied to the checkpoints; 0 is never.
    checkpoint_interval_s: int = Field(default=60, ge=0, le=86_400)
    #: Multiplies the local model's delays; 0 answers at once.
    provider_time_scale: float = Field(default=1.0, ge=0, le=100)


Loaded = TypeVar("Loaded", bound=_Settings)


@cache
def load(kind: type[Loaded]) -> Loaded:
    """Return the settings of one concern; stop the process with the remedy when a variable is wrong."""
    try:
        return kind()
    except ValidationError as error:
        prefix = str(kind.model_config.get("env_prefix", ""))
        lines = [
            f"{prefix}{'_'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
            for item in error.errors(include_input=False)
        ]
        raise SystemExit("invalid settings: " + "; ".join(lines)) from None
