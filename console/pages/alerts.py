"""Alerts of the org: what is told, where it goes, and what was told lately."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec import Struct

from console.calls import account as accounts
from console.calls import alerts as calls
from console.calls.account import Account
from console.calls.alerts import Alert, Alerts, Channel, Channels, Delivery, Rule, Rules
from console.components.button import Button
from console.components.dialog import confirmed
from console.components.loaded import Loaded, attempt, toast
from console.components.status import StatusBadge
from console.components.table import Column, table
from console.components.text import Text, box, when
from console.formats import Locale
from console.pages import alert_forms
from console.pages.signed_in import card_head
from console.session import locale
from console.visitor import Visitor

_EVERY_S = 15.0
_KINDS = {"email": "Email", "slack": "Slack", "webhook": "Webhook"}


class _Known(Struct, frozen=True):
    account: Account
    rules: Rules
    channels: Channels
    told: Alerts


def section(visitor: Visitor) -> None:
    """Draw the section."""
    _Section(visitor)


class _Section:
    """One reading of everything about alerts; changes read it again."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._shown = locale()
        self._loaded = Loaded(self._load, self._draw, "alerts", every_s=_EVERY_S)

    async def _load(self) -> _Known:
        visitor = self._visitor
        return _Known(
            *await asyncio.gather(
                accounts.account(visitor),
                calls.rules(visitor),
                calls.channels(visitor),
                calls.recent(visitor),
            )
        )

    def _draw(self, known: _Known) -> None:
        self._known = known
        self._manages = known.account.manages
        self._names = {one.channel_id: one.name for one in known.channels.channels}
        with box("div", "rm-stack", testid="alerts"):
            self._draw_rules()
            self._draw_channels()
            self._draw_told()

    def _draw_rules(self) -> None:
        with box("section", "rm-card"):
            with card_head("Alerts", "What you are told, once each time it happens."):
                pass
            table(
                self._known.rules.rules,
                [
                    Column("Alert", self._rule_name),
                    Column("When", lambda rule: _when(rule, self._shown)),
                    Column("Goes to", self._goes_to),
                    Column("", self._rule_actions),
                ],
                "Alerts",
                testid="alert-rule",
                stacked=True,
            )

    def _rule_name(self, rule: Rule) -> None:
        Text("span", rule.title)
        Text("span", rule.description, "rm-muted rm-small rm-wide").style("display:block")

    def _goes_to(self, rule: Rule) -> str:
        if not rule.enabled:
            return "Switched off"
        names = [self._names[one] for one in rule.channels if one in self._names]
        return ", ".join(names) or "Nobody; it is listed below"

    def _rule_actions(self, rule: Rule) -> None:
        if not self._manages:
            return
        with box("div", "rm-table__actions"):
            Button(
                "Change",
                lambda: alert_forms.ask_rule(self._visitor, rule, self._names, self._loaded.refresh),
                look="ghost",
                small=True,
                label=f"Change {rule.title}",
            )

    def _draw_channels(self) -> None:
        found = self._known.channels
        with box("section", "rm-card", testid="alert-channels"):
            with card_head("Where alerts go", "Mail, Slack, or a signed webhook of your own."):
                if self._manages and len(found.channels) <= found.max_channels:
                    Button(
                        "Add a channel",
                        lambda: alert_forms.ask_channel(self._visitor, self._loaded.refresh),
                        look="secondary",
                        symbol="add",
                        testid="add-channel",
                    )
            table(
                found.channels,
                [
                    Column("Name", lambda one: one.name),
                    Column("Kind", lambda one: _KINDS.get(one.kind, one.kind), "rm-wide"),
                    Column("Leads to", _target, "rm-wrap"),
                    Column("Last test", _last_test, "rm-wide rm-wrap"),
                    Column("", self._channel_actions),
                ],
                "Channels",
                testid="alert-channel",
                stacked=True,
            )

    def _channel_actions(self, one: Channel) -> None:
        if not self._manages:
            return
        with box("div", "rm-table__actions"):
            Button(
                "Test", lambda: self._test(one), look="ghost", small=True, label=f"Send a test to {one.name}"
            )
            if not one.built_in:
                Button(
                    "Remove", lambda: self._remove(one), look="ghost", small=True, label=f"Remove {one.name}"
                )

    async def _test(self, one: Channel) -> None:
        async def call() -> None:
            tested = await calls.test(self._visitor, one.channel_id)
            toast(tested.said, bad=not tested.passed)

        await attempt(call())
        await self._loaded.refresh()

    async def _remove(self, one: Channel) -> None:
        what = "Alerts no longer go there, and what opens it is deleted."
        if not await confirmed(f"Remove {one.name}?", what, "Remove"):
            return
        if await attempt(calls.remove(self._visitor, one.channel_id), "Removed."):
            await self._loaded.refresh()

    def _draw_told(self) -> None:
        with box("section", "rm-card", testid="alerts-told"):
            with card_head("Recent alerts"):
                pass
            if not self._known.told.alerts:
                Text("p", "Nothing had to be told yet.", "rm-muted", testid="no-alerts")
                return
            table(
                self._known.told.alerts,
                [
                    Column("When", lambda one: when(one.occurred_at_ms)),
                    Column("Alert", _told, "rm-wrap"),
                    Column("Sent", self._sent, "rm-wrap"),
                ],
                "Recent alerts",
                testid="alert",
                stacked=True,
            )

    def _sent(self, one: Alert) -> None:
        if not one.deliveries:
            Text("span", "To nobody", "rm-muted")
        for message in one.deliveries:
            self._draw_message(message)

    def _draw_message(self, message: Delivery) -> None:
        with box("div", "rm-row"):
            StatusBadge(message.status, testid="alert-status")
            Text("span", message.channel or "A removed channel", "rm-small")
            if message.status in ("dead", "skipped") and self._manages:
                Button(
                    "Try again",
                    lambda: self._retry(message),
                    look="ghost",
                    small=True,
                    label=f"Try again to reach {message.channel or 'it'}",
                )
        if message.error:
            Text("p", message.error, "rm-muted rm-small")

    async def _retry(self, message: Delivery) -> None:
        if await attempt(calls.retry(self._visitor, message.delivery_id), "It is tried again."):
            await self._loaded.refresh()


def _told(one: Alert) -> None:
    Text("strong", one.title)
    Text("p", one.text, "rm-muted rm-small")


def _when(rule: Rule, shown: Locale) -> str:
    if rule.thresholds_percent is not None:
        return " and ".join(f"{percent} %" for percent in rule.thresholds_percent)
    if rule.days is not None:
        return f"Within {rule.days} days"
    if rule.minimum_micro is not None:
        return f"From {shown.credits(rule.minimum_micro)} credits an hour"
    return "Each time"


def _target(one: Channel) -> None:
    Text("span", one.target or "No owner has an email address")
    if not one.usable:
        Text("span", "No mail is sent from this server.", "rm-muted rm-small").style("display:block")
    elif not one.enabled:
        Text("span", "Switched off", "rm-muted rm-small").style("display:block")


def _last_test(one: Channel) -> Any:
    if one.last_test is None:
        return "\u2013"
    Text("span", "Passed: " if one.last_test.passed else f"Failed: {one.last_test.said} ", "rm-small")
    return when(one.last_test.at_ms)
