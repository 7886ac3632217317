"""What runs, meters and keeps runs: the data plane."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from kit.settings.base import Settings


class GatewaySettings(Settings):
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
    #: What knowledge and a conversation's earlier turns may add to a run's input, which is reserved for them.
    max_context_tokens: int = Field(default=3_000, ge=0, le=1_000_000)
    #: How long uses of keys are gathered for one write.
    key_uses_flush_ms: int = Field(default=10_000, ge=10, le=600_000)
    #: Sign widget sessions, comma-separated, 32 characters or more each. The first signs, all open: put a new
    #: one in front, and take the old one out after 12 h. Empty: gateways agree on one of their own in Redis.
    session_secrets: SecretStr = SecretStr("")
    #: Addresses or networks, comma-separated, whose `X-Forwarded-For` says who asks. Empty: nobody's does.
    trusted_proxies: str = ""


class WidgetSettings(Settings):
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


class IntakeSettings(Settings):
    """Reports of runs that happened elsewhere."""

    model_config = SettingsConfigDict(env_prefix="RUNMETER_INTAKE_")
    #: Of one instance; 0 is no limit.
    events_per_minute: int = Field(default=60_000, ge=0, le=100_000_000)
    max_batch_events: int = Field(default=500, ge=1, le=10_000)
    max_event_bytes: int = Field(default=65_536, ge=1_024, le=1_048_576)
    #: Requests that one gateway works on at once, of all instances.
    max_concurrent_requests: int = Field(default=64, ge=1, le=10_000)
    #: Not longer than the metering worker knows a run (`RUNMETER_WORKER_RUN_STATE_TTL_S`): what is older
    #: could not be told from a repeated report.
    max_age_s: int = Field(default=7 * 86_400, ge=60, le=14 * 86_400)


class RunnerAccessSettings(Settings):
    """Who may give runners orders. Runners and gateways are told the same."""

    model_config = SettingsConfigDict(env_prefix="RUNMETER_RUNNER_")
    #: Shown by gateways, comma-separated, 32 characters or more each. The first is sent, all open: add a new
    #: one at the end everywhere, put it in front, then take the old one out. `runmeter up` makes its own.
    service_tokens: SecretStr = SecretStr("")


class RunnerSettings(Settings):
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
    #: Of a whole run, with all its calls and tools; 0 is no limit of its own.
    max_run_seconds: int = Field(default=240, ge=0, le=3_600)
    max_run_tokens: int = Field(default=0, ge=0, le=100_000_000)
    #: Asked when the model above cannot be reached or fails before it has said anything. Empty: nobody is.
    fallback_base_url: str = ""
    fallback_api_key: SecretStr = SecretStr("")
    #: Empty: the model that was asked for. What it answers is priced as what it is.
    fallback_model: str = ""
    #: Passages of knowledge put before the model, and how long they are waited for.
    retrieval_passages: int = Field(default=6, ge=0, le=20)
    retrieval_timeout_ms: int = Field(default=2_000, ge=50, le=60_000)
    #: Earlier turns of a conversation: how many, and for how long after the last one.
    memory_turns: int = Field(default=20, ge=0, le=200)
    memory_ttl_s: int = Field(default=86_400, ge=60, le=30 * 86_400)


class ConnectorSettings(Settings):
    """Calls to other systems. Owners of instances name the hosts: each call is bounded."""

    model_config = SettingsConfigDict(env_prefix="RUNMETER_CONNECTORS_")
    timeout_ms: int = Field(default=8_000, ge=100, le=120_000)
    max_answer_bytes: int = Field(default=262_144, ge=1_024, le=16_777_216)
    #: How long a system that is busy may make a call wait before the model is told so.
    max_retry_after_s: int = Field(default=3, ge=0, le=60)
    max_per_instance: int = Field(default=20, ge=1, le=200)
    #: Hosts, comma-separated, that may be in a private network and without TLS. None by default.
    private_hosts: str = ""
    hubspot_base_url: str = "https://api.hubapi.com"
    slack_base_url: str = "https://slack.com"
    #: Empty: `https://<subdomain>.zendesk.com`.
    zendesk_base_url: str = ""


class ConversationSettings(Settings):
    """Transcripts of runs."""

    model_config = SettingsConfigDict(env_prefix="RUNMETER_CONVERSATIONS_")
    #: 0: none is stored, and none is sent to where they would be.
    retention_days: int = Field(default=30, ge=0, le=3_650)
    #: E-mail addresses, phone, card and bank account numbers are taken out before anything is stored.
    redact: bool = True
    purge_every_s: int = Field(default=300, ge=1, le=86_400)


class WorkerSettings(Settings):
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
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(default=0, ge=0, le=65_535)
