"""The audit log in words: what was done, to what, and how, as people say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from console.calls.team import AuditEntry
from console.components.short_id import shortened
from console.components.status import said
from console.formats import Locale

#: How a detail is drawn: as text, as a moment in the visitor's time zone, or as a short id.
Shape = Literal["text", "moment", "id"]

_ACTIONS = {
    "alert_channel.change": "Changed where alerts go",
    "alert_channel.create": "Added where alerts go",
    "alert_channel.delete": "Removed where alerts go",
    "alert_channel.test": "Tried where alerts go",
    "alert_delivery.retry": "Sent an alert again",
    "alert_rule.change": "Changed an alert",
    "api_key.create": "Created a key",
    "api_key.change": "Changed a key",
    "api_key.rotate": "Replaced a key",
    "api_key.revoke": "Revoked a key",
    "connector.create": "Connected a service",
    "connector.change": "Changed a connector",
    "connector.delete": "Removed a connector",
    "conversation.delete": "Deleted a conversation",
    "dead_letter.replay": "Replayed a dead letter",
    "grant.issue": "Gave credits",
    "grant.void": "Took credits back",
    "grant.refund": "Took back refunded credits",
    "instance.configure": "Changed an instance's settings",
    "instance.create": "Created an instance",
    "instance.status": "Changed an instance's status",
    "knowledge.create": "Added knowledge",
    "knowledge.change": "Changed knowledge",
    "knowledge.delete": "Deleted knowledge",
    "knowledge.resync": "Read knowledge again",
    "knowledge.rewrite": "Rewrote knowledge",
    "knowledge.schedule": "Changed when knowledge is read again",
    "meter.create": "Defined a meter",
    "meter.delete": "Deleted a meter",
    "order.abandoned": "Let an order lapse",
    "order.cancel": "Cancelled an order",
    "order.mark_paid": "Marked an order as paid",
    "order.paid": "Paid an order",
    "order.paid_for_nothing": "Paid an order once more",
    "order.place": "Placed an order",
    "order.refund": "Refunded an order",
    "order.refund_asked": "Asked for a refund",
    "order.refund_refused": "Was refused a refund",
    "order.retry": "Tried an order again",
    "org.create": "Created the organisation",
    "org.rename": "Renamed the organisation",
    "org.resume": "Let the organisation go on",
    "org.suspend": "Suspended the organisation",
    "plan.put": "Changed a plan",
    "price_book.publish": "Published a price book",
    "price_schedule.change": "Changed when prices apply",
    "product.put": "Changed a product",
    "reconciliation.start": "Compared the stores",
    "run.amend": "Corrected a run",
    "run.rerate": "Priced a run again",
    "run.void": "Took back a run's charge",
    "secret.forget": "Forgot a secret",
    "secret.keep": "Kept a secret",
    "subscription.cancel": "Cancelled a subscription",
    "subscription.cancel_refused": "Was refused a cancellation",
    "subscription.ended": "Ended a subscription",
    "subscription.mark_paid": "Marked a subscription as paid",
    "subscription.not_stopped": "Could not stop the collecting",
    "subscription.paid": "Paid a subscription",
    "subscription.paid_for_nothing": "Paid a subscription that had ended",
    "subscription.past_due": "Missed a payment",
    "subscription.paused": "Paused a subscription",
    "subscription.stopped": "Stopped the collecting",
    "subscription.told": "Changed a subscription",
    "team.invite": "Invited somebody",
    "team.join": "Joined",
    "team.remove": "Removed somebody",
    "team.role": "Changed a role",
    "team.withdraw": "Took back an invitation",
    "topup.put": "Set up automatic top-up",
    "webhook.replay": "Delivered a webhook again",
}
_TARGETS = {
    "team": "Person",
    "api_key": "Key",
    "knowledge_source": "Source",
    "topup": "Top-up",
    "alert_channel": "Way",
    "alert_rule": "Alert",
    "webhook_delivery": "Webhook",
}
_LABELS = {
    "amount": "Credits",
    "grace": "Old one valid for",
    "now": "To",
    "was": "From",
    "instance_id": "Instance",
    "plan": "Plan",
    "rotated_from": "Instead of",
    "successor": "New key",
    "until": "Until",
    "ceiling": "At most a month",
    "cool_off": "Pause between",
    "ends_at": "Ends",
    "from": "From",
    "withdrawn_from": "Withdrawn",
    "threshold": "Below credits",
}
#: What is named by a word of ours, not by an id.
_BY_WORD = ("alert_rule",)
_DURATIONS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True)
class Names:
    """What ids are called, as far as the visitor may know."""

    known: Mapping[str, str] = field(default_factory=dict)

    def of(self, identity: str) -> str:
        return self.known.get(identity, "")


@dataclass(frozen=True)
class Detail:
    """A named value; `moment` is in Unix ms."""

    label: str
    value: str
    shape: Shape = "text"


def action_of(entry: AuditEntry) -> str:
    """Return what was done, as a sentence's beginning."""
    known = _ACTIONS.get(entry.action)
    if known is not None:
        return known
    kind, _, verb = entry.action.partition(".")
    return f"{said(kind)}: {verb.replace('_', ' ')}" if verb else said(kind)


def target_of(entry: AuditEntry, names: Names) -> Detail:
    """Return what it was done to: its name, or its kind with its id."""
    name = names.of(entry.target_id) or _own_name(entry)
    kind = _TARGETS.get(entry.target_kind, said(entry.target_kind))
    if entry.target_kind in _BY_WORD:
        name = said(entry.target_id)
    if entry.target_kind == "secret" and ":" in name:
        # Named after what it belongs to.
        owner, _, identity = name.partition(":")
        return Detail(f"{kind} of: {said(owner.replace('-', '_'))}", identity, "id")
    return Detail(kind, name) if name else Detail(kind, entry.target_id, "id")


def details_of(entry: AuditEntry, names: Names, shown: Locale) -> list[Detail]:
    """Return what else was noted, without what is empty or said by the target already."""
    taken = _own_name(entry) if not names.of(entry.target_id) else ""
    currency = str(entry.details.get("currency") or "")
    return [
        _detail(key, value, names, shown, currency)
        for key, value in entry.details.items()
        if (isinstance(value, bool) or value not in (None, "", [], {}, 0)) and value != taken
    ]


def _own_name(entry: AuditEntry) -> str:
    value = entry.details.get("name") or entry.details.get("email") or ""
    return value if isinstance(value, str) else ""


def _detail(key: str, value: Any, names: Names, shown: Locale, currency: str) -> Detail:
    if isinstance(value, bool):
        return Detail(_label(key), "Yes" if value else "No")
    if isinstance(value, int):
        return _number(key, value, shown, currency)
    if isinstance(value, list):
        texts = [str(one) for one in value]
        if key == "channels":
            texts = [names.of(one) or (shortened(one) if "_" in one else said(one)) for one in texts]
        return Detail(_label(key), ", ".join(texts)[:200])
    if isinstance(value, dict):
        return Detail(
            _label(key), ", ".join(_label(str(name).removesuffix("_micro")) for name in value)[:200]
        )
    text = str(value)
    if key.endswith("_id") or key in ("successor", "rotated_from"):
        name = names.of(text)
        return Detail(_label(key), name) if name else Detail(_label(key), text, "id")
    return Detail(_label(key), said(text) if key in ("role", "kind", "was", "now", "status") else text[:200])


def _number(key: str, value: int, shown: Locale, currency: str) -> Detail:
    if key.endswith("_micro"):
        return Detail(_label(key.removesuffix("_micro")), shown.exact_credits(value))
    if key.endswith("_minor"):
        return Detail(_label(key.removesuffix("_minor")), shown.money(value, currency or "usd"))
    if key.endswith("_ms"):
        return Detail(_label(key.removesuffix("_ms")), str(value), "moment")
    if key.endswith("_s"):
        return Detail(_label(key.removesuffix("_s")), _lasting(value, shown))
    return Detail(_label(key), shown.integer(value))


def _lasting(seconds: int, shown: Locale) -> str:
    size, unit = next(((size, unit) for size, unit in _DURATIONS if seconds % size == 0), (1, "second"))
    count = seconds // size
    return f"{shown.integer(count)} {unit}{'s' if count != 1 else ''}"


def _label(key: str) -> str:
    return _LABELS.get(key) or said(key.removesuffix("_id"))
