"""Telling once: the claim and the messages are one transaction.

Called in the transaction of whatever noticed the fact. The unique constraint of `alerts` decides who tells;
a second one finds it told and writes nothing. What crashes before the commit leaves neither a claim without
messages nor a message without a claim; what crashes after it leaves messages that wait (`delivery`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.alerts import repository
from console_api.alerts.kinds import OWNERS, TYPES, AlertKind
from console_api.database.tables import AlertDelivery
from console_api.database.tables.alerts import RuleTerms
from kit.clock import new_id


@dataclass(frozen=True)
class Fact:
    """Something that an org may want to hear of.

    `subject`, `threshold` and `period` name it: in another period the same threshold may be told again.
    `level_permille`: the share of a limit, for kinds with thresholds. `details`: what the wording needs.
    """

    tenant_id: str
    org_id: str
    kind: AlertKind
    subject: str
    threshold: str
    period: str
    occurred_at_ms: int
    level_permille: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """A rule that holds: an org's own, or the default."""

    enabled: bool
    terms: RuleTerms
    channels: tuple[str, ...]
    is_default: bool


async def rule_of(session: AsyncSession, org_id: str, kind: AlertKind) -> Rule:
    """Return the rule that holds for an org."""
    row = await repository.rule(session, org_id, kind)
    if row is None:
        return default_rule(kind)
    return Rule(row.enabled, row.terms, row.channels, is_default=False)


def default_rule(kind: AlertKind) -> Rule:
    """Return the rule of an org that never said anything: its owners are told by e-mail."""
    return Rule(True, TYPES[kind].terms, (OWNERS,), is_default=True)


async def tell(session: AsyncSession, fact: Fact, now_ms: int, *, too_old: bool = False) -> bool:
    """Write down an alert with its messages, unless nobody wants it or it was told; return whether it is new.

    `too_old`: it is written down, but nobody is told any more.
    """
    rule = await rule_of(session, fact.org_id, fact.kind)
    thresholds = rule.terms.thresholds_permille
    if not rule.enabled or (fact.level_permille and fact.level_permille not in thresholds):
        return False
    alert_id = new_id("alert")
    new = await repository.add_alert(
        session,
        alert_id=alert_id,
        tenant_id=fact.tenant_id,
        org_id=fact.org_id,
        kind=fact.kind,
        subject=fact.subject,
        threshold=fact.threshold,
        period=fact.period,
        details=dict(fact.details),
        occurred_at_ms=fact.occurred_at_ms,
        created_at_ms=now_ms,
    )
    for channel_id in rule.channels if new else ():
        if channel_id == OWNERS or await repository.channel(session, fact.org_id, channel_id) is not None:
            repository.add_delivery(session, _message(alert_id, channel_id, now_ms, too_old))
    return new


def _message(alert_id: str, channel_id: str, now_ms: int, too_old: bool) -> AlertDelivery:
    return AlertDelivery(
        delivery_id=new_id("adl"),
        alert_id=alert_id,
        channel_id=channel_id,
        status="skipped" if too_old else "waiting",
        attempts=0,
        next_try_at_ms=now_ms,
        sent_at_ms=0,
        error="It was too old when it was heard of." if too_old else "",
    )
