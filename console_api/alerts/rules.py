"""What may be done with rules: one for each kind of alert, the default until somebody changes it."""

from __future__ import annotations

from typing import cast

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.alerts import channels, repository
from console_api.alerts.kinds import OWNERS, TYPES, AlertKind
from console_api.alerts.models import Percent, RuleChange, RuleList, RuleView
from console_api.alerts.telling import Rule, default_rule, rule_of
from console_api.auth.models import Principal
from console_api.control import audit
from console_api.database.tables import AlertRule
from console_api.database.tables.alerts import RuleTerms
from kit.problems import InvalidRequest

#: Which terms a kind has.
_TERMS: dict[AlertKind, str] = {
    "credits": "thresholds_percent",
    "cap": "thresholds_percent",
    "forecast": "days",
    "anomaly": "minimum_micro",
}


async def listed(session: AsyncSession, principal: Principal) -> RuleList:
    """Return all rules of the org."""
    own = await repository.rules(session, principal.org_id)
    return RuleList(rules=[_view(kind, _held(kind, own.get(kind))) for kind in TYPES])


async def change(
    session: AsyncSession, principal: Principal, kind: AlertKind, wanted: RuleChange, now_ms: int
) -> RuleView:
    """Set a rule. Raises `Forbidden`, `InvalidRequest` for foreign terms or channels."""
    channels.may_change(principal)
    known = {OWNERS, *(row.channel_id for row in await repository.channels(session, principal.org_id))}
    unknown = [channel_id for channel_id in wanted.channels if channel_id not in known]
    if unknown:
        raise InvalidRequest(f"channels: you have no channel {unknown[0]}.")
    held = await rule_of(session, principal.org_id, kind)
    terms, chosen = _terms(kind, wanted, held.terms), tuple(dict.fromkeys(wanted.channels))
    await repository.add_rule(
        session,
        org_id=principal.org_id,
        kind=kind,
        tenant_id=principal.tenant_id,
        enabled=wanted.enabled,
        terms=terms,
        channels=chosen,
        updated_by=principal.subject,
        updated_at_ms=now_ms,
    )
    row = await repository.lock_rule(session, principal.org_id, kind)
    row.enabled, row.terms, row.channels = wanted.enabled, terms, chosen
    row.updated_by, row.updated_at_ms = principal.subject, now_ms
    audit.record(
        session,
        tenant_id=principal.tenant_id,
        org_id=principal.org_id,
        actor=principal.subject,
        action="alert_rule.change",
        target=("alert_rule", kind),
        at_ms=now_ms,
        enabled=wanted.enabled,
        channels=list(chosen),
    )
    return _view(kind, _held(kind, row))


def _terms(kind: AlertKind, wanted: RuleChange, held: RuleTerms) -> RuleTerms:
    """Return the terms with what was given over what holds. Raises `InvalidRequest` for another kind's."""
    for name in ("thresholds_percent", "days", "minimum_micro"):
        if getattr(wanted, name) is not None and _TERMS.get(kind) != name:
            raise InvalidRequest(f"{name}: a rule of the kind {kind} has none.")
    return RuleTerms(
        thresholds_permille=held.thresholds_permille
        if wanted.thresholds_percent is None
        else tuple(sorted({percent * 10 for percent in wanted.thresholds_percent})),
        days=wanted.days or held.days,
        minimum_micro=held.minimum_micro if wanted.minimum_micro is None else wanted.minimum_micro,
    )


def _held(kind: AlertKind, row: AlertRule | None) -> Rule:
    if row is None:
        return default_rule(kind)
    return Rule(row.enabled, row.terms, row.channels, is_default=False)


def _view(kind: AlertKind, rule: Rule) -> RuleView:
    term = _TERMS.get(kind)
    percents = [cast(Percent, permille // 10) for permille in rule.terms.thresholds_permille]
    return RuleView(
        kind=kind,
        title=TYPES[kind].title,
        description=TYPES[kind].description,
        enabled=rule.enabled,
        channels=list(rule.channels),
        thresholds_percent=percents if term == "thresholds_percent" else None,
        days=rule.terms.days if term == "days" else None,
        minimum_micro=rule.terms.minimum_micro if term == "minimum_micro" else None,
        is_default=rule.is_default,
    )
