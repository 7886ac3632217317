"""Every Kafka topic, as data: read by broker creation, the workers, the docs and the tests."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Struct

from schemas.billing import BillingRecord
from schemas.control import ControlRecord
from schemas.conversations import ConversationTurn, FeedbackEvent
from schemas.events import (
    CorrectionEvent,
    DeadLetter,
    GrantEvent,
    LedgerEntry,
    LimitEvent,
    RunEvent,
    TokenEvent,
    ToolCallEvent,
)
from schemas.ingestion import IngestionRequest, SourceProgress
from schemas.reconciliation import Reconciliation, ReconciliationRequest

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True)
class Topic:
    """One topic. `partitioned_by` co-partitioned topics share the deployment's partition count."""

    name: str
    event: type[Struct]
    key: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    retention_ms: int = 14 * DAY_MS
    #: The broker's clock stamps the record, so that a producer's wrong clock can be told from the log.
    timestamp_type: str = "LogAppendTime"
    max_message_bytes: int = 1_048_576
    #: Whether a dead letter of it is mended by publishing its record again, to all that read the topic. Not
    #: where one receiver refused what others took: that one gets it again.
    republished: bool = True
    #: Of each key the last record is kept for ever, instead of all for a while; one without a value ends it.
    compacted: bool = False

    def config(self) -> dict[str, str]:
        """Return the broker's settings for this topic."""
        # What was replaced, such as a credential, is gone within two days, though the topic hardly grows.
        kept = (
            {"cleanup.policy": "compact", "max.compaction.lag.ms": str(DAY_MS)}
            if self.compacted
            else {"cleanup.policy": "delete", "retention.ms": str(self.retention_ms)}
        )
        return {
            **kept,
            "message.timestamp.type": self.timestamp_type,
            "max.message.bytes": str(self.max_message_bytes),
        }


RUNS = Topic("usage.runs", RunEvent, "org_id", ("gateway", "reaper", "ingestion"), ("metering", "warehouse"))
TOKENS = Topic(
    "usage.tokens", TokenEvent, "org_id", ("runner", "gateway", "ingestion"), ("metering", "warehouse")
)
TOOL_CALLS = Topic(
    "usage.tool_calls", ToolCallEvent, "org_id", ("runner", "gateway", "ingestion"), ("metering", "warehouse")
)
CORRECTIONS = Topic(
    "usage.corrections", CorrectionEvent, "org_id", ("control plane", "correct"), ("metering", "warehouse")
)
GRANTS = Topic("credits.grants", GrantEvent, "org_id", ("control plane", "reaper"), ("metering",))
LEDGER = Topic("credits.ledger", LedgerEntry, "org_id", ("relay",), ("warehouse", "billing"))
LIMITS = Topic("credits.limits", LimitEvent, "org_id", ("relay",), ("control plane",))
DEAD_LETTERS = Topic(
    "usage.dead_letters",
    DeadLetter,
    "org_id",
    ("metering", "warehouse", "ingestion", "exports"),
    ("replay", "control plane", "warehouse"),
    # The largest record of any topic, in base64, with its coordinates.
    max_message_bytes=2_097_152,
)

#: Kept as long as the slowest receiver takes late usage: Stripe's meters, 35 days.
BILLING = Topic(
    "billing.records",
    BillingRecord,
    "org_id",
    ("billing",),
    ("exports",),
    retention_ms=35 * DAY_MS,
    republished=False,
)

INGESTION_REQUESTED = Topic(
    "ingestion.requested", IngestionRequest, "org_id", ("control plane",), ("ingestion",)
)
INGESTION_PROGRESS = Topic("ingestion.progress", SourceProgress, "org_id", ("ingestion",), ("control plane",))

#: Kept no longer than it takes to be stored: what is deleted there should not go on standing here.
CONVERSATION_TURNS = Topic(
    "conversations.turns",
    ConversationTurn,
    "org_id",
    ("runner",),
    ("control plane",),
    retention_ms=7 * DAY_MS,
)
CONVERSATION_FEEDBACK = Topic(
    "conversations.feedback",
    FeedbackEvent,
    "org_id",
    ("gateway",),
    ("control plane",),
    retention_ms=7 * DAY_MS,
)

#: Of a whole tenant, so that nobody's wallet is what these are sorted by.
RECONCILE_REQUESTS = Topic(
    "usage.reconcile_requests", ReconciliationRequest, "tenant_id", ("control plane",), ("relay",)
)
RECONCILIATIONS = Topic("usage.reconciliations", Reconciliation, "tenant_id", ("relay",), ("control plane",))

#: What the control plane projects to Redis, for a Redis that lost it while the control plane is down.
CONTROL_RECORDS = Topic(
    "control.records",
    ControlRecord,
    "key",
    ("control plane",),
    ("rebuild",),
    # An instance's connectors, each with what it can call.
    max_message_bytes=4_194_304,
    republished=False,
    compacted=True,
)

#: Topics the metering worker turns into money, in the order a new reader should meet them.
METERED: tuple[Topic, ...] = (RUNS, TOKENS, TOOL_CALLS, CORRECTIONS, GRANTS)
#: Topics the warehouse worker stores.
STORED: tuple[Topic, ...] = (RUNS, TOKENS, TOOL_CALLS, CORRECTIONS, LEDGER, DEAD_LETTERS)
ALL: tuple[Topic, ...] = (
    RUNS,
    TOKENS,
    TOOL_CALLS,
    CORRECTIONS,
    GRANTS,
    LEDGER,
    LIMITS,
    BILLING,
    DEAD_LETTERS,
    RECONCILE_REQUESTS,
    RECONCILIATIONS,
    INGESTION_REQUESTED,
    INGESTION_PROGRESS,
    CONVERSATION_TURNS,
    CONVERSATION_FEEDBACK,
    CONTROL_RECORDS,
)
BY_NAME: dict[str, Topic] = {topic.name: topic for topic in ALL}
