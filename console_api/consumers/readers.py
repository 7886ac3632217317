"""Who reads the log, and what: known to whoever watches the readers, in the console API or beside it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from console_api.alerts import intake as alerts
from schemas import topics
from schemas.topics import Topic


@dataclass(frozen=True)
class Role:
    """A group and what it reads. Who keeps no fences has its position in its commits."""

    name: str
    group: str
    topics: tuple[Topic, ...]
    source: str = "commits"


#: Every reader of the log that belongs to the product, but for those of billing records: see `roles_of`.
ROLES: tuple[Role, ...] = (
    Role("metering", "runmeter-metering", topics.METERED, "fences in Redis"),
    Role("warehouse", "runmeter-warehouse", topics.STORED, "plans in commits"),
    Role("ingestion", "runmeter-ingestion", (topics.INGESTION_REQUESTED,)),
    Role("knowledge", "runmeter-knowledge", (topics.INGESTION_PROGRESS,)),
    Role(
        "conversations",
        "runmeter-conversations",
        (topics.CONVERSATION_TURNS, topics.CONVERSATION_FEEDBACK),
    ),
    Role("alerts", alerts.GROUP, (topics.LIMITS,)),
    Role("operating", "runmeter-operating", (topics.DEAD_LETTERS, topics.RECONCILIATIONS)),
    Role("reconcile", "runmeter-reconcile", (topics.RECONCILE_REQUESTS,)),
)
#: There are none of these where nothing is exported.
_BILLING = Role("billing", "runmeter-billing", (topics.LEDGER,), "fences in Redis")
#: And the destination's name.
_EXPORTER = "runmeter-export-"
_MOST_EXPORTERS = 50


def roles_of(known: Collection[str]) -> list[Role]:
    """Return the readers there are, given the groups that Kafka knows."""
    exporters = sorted(group for group in known if group.startswith(_EXPORTER))[:_MOST_EXPORTERS]
    return [
        *ROLES,
        *([_BILLING] if _BILLING.group in known else []),
        *(Role(group.removeprefix("runmeter-"), group, (topics.BILLING,)) for group in exporters),
    ]
