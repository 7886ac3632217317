"""Forms of alerts: a new channel, and a rule."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nicegui import ui

from console.calls import alerts as calls
from console.calls.alerts import Made, Rule
from console.components.button import Button
from console.components.code import code_block
from console.components.dialog import dialog
from console.components.fields import Segments, choice, number_field, switch, text_field
from console.components.loaded import attempt
from console.components.text import Text, box
from console.visitor import Visitor

_MICRO = 1_000_000
_KINDS = {"email": "Email", "slack": "Slack", "webhook": "Webhook"}

Refresh = Callable[[], Awaitable[None]]


def ask_channel(visitor: Visitor, refresh: Refresh) -> None:
    """Ask where alerts are to go besides."""
    with dialog("Add a channel", "What opens it is kept sealed and never shown again.") as asked:
        form = _ChannelForm()

        async def save() -> None:
            made: list[Made] = []

            async def call() -> None:
                made.append(await calls.add(visitor, form.wanted()))

            if await attempt(call(), "Added."):
                asked.close()
                if made[0].signing_secret:
                    _show_secret(made[0].signing_secret)
                await refresh()

        with box("div", "rm-dialog__foot"):
            Button("Cancel", asked.close, look="secondary")
            Button("Add", save, testid="save-channel")
    asked.open()


class _ChannelForm:
    """The fields of each kind; those of one are shown."""

    def __init__(self) -> None:
        self._name = text_field("Name", longest=100, testid="channel-name")
        self._kind = Segments("Kind", _KINDS, "email", self._show)
        self._parts: dict[str, ui.element] = {}
        with self._part("email"):
            self._addresses = text_field(
                "Addresses", hint="Up to ten, separated by commas.", longest=2_600, testid="channel-addresses"
            )
        with self._part("slack"):
            self._hook = text_field(
                "Incoming webhook", placeholder="https://hooks.slack.com/services/…", longest=2_048
            )
            Text("p", "Or a bot with the scope chat:write, and a channel it is in:", "rm-muted rm-small")
            with box("div", "rm-form rm-form--two"):
                self._token = text_field("Bot token", placeholder="xoxb-…", longest=260, kind="password")
                self._channel = text_field("Channel", placeholder="#billing", longest=81)
        with self._part("webhook"):
            self._url = text_field("Address", placeholder="https://", longest=2_048, testid="channel-url")
            self._secret = text_field(
                "Signing secret",
                hint="Empty: one is made and shown once. It signs as Standard Webhooks has it.",
                placeholder="whsec_…",
                longest=100,
                kind="password",
            )
        self._show("email")

    def _part(self, kind: str) -> ui.element:
        self._parts[kind] = box("div", "rm-form")
        return self._parts[kind]

    def _show(self, kind: str) -> None:
        for name, part in self._parts.items():
            part.set_visibility(name == kind)

    def wanted(self) -> dict[str, Any]:
        """Return the channel as the API takes it."""
        kind = self._kind.value
        fields: dict[str, dict[str, Any]] = {
            "email": {"addresses": [one.strip() for one in _text(self._addresses).split(",") if one.strip()]},
            "slack": {
                "webhook_url": _text(self._hook),
                "bot_token": _text(self._token),
                "channel": _text(self._channel),
            },
            "webhook": {"url": _text(self._url), "secret": _text(self._secret)},
        }
        given = {name: value for name, value in fields[kind].items() if value}
        return {"kind": kind, "name": _text(self._name) or _KINDS[kind], **given}


def _text(field: ui.input | ui.textarea) -> str:
    return str(field.value or "").strip()


def _show_secret(secret: str) -> None:
    with dialog("The signing secret", "Receivers check signatures with it. It is not shown again.") as shown:
        code_block(secret, wrap=True, testid="signing-secret")
        with box("div", "rm-dialog__foot"):
            Button("I have copied it", shown.close, testid="copied")
    shown.open()


def ask_rule(visitor: Visitor, rule: Rule, names: Mapping[str, str], refresh: Refresh) -> None:
    """Ask when this kind is told, and where."""
    with dialog(rule.title, rule.description) as asked:
        on = switch("Tell us", rule.enabled)
        terms = _Terms(rule)
        known = [one for one in rule.channels if one in names]
        channels = choice("Goes to", names, known, several=True, testid="rule-channels")

        async def save() -> None:
            wanted = {"enabled": bool(on.value), "channels": list(channels.value or []), **terms.given()}
            if await attempt(calls.set_rule(visitor, rule.kind, wanted), "Saved."):
                asked.close()
                await refresh()

        with box("div", "rm-dialog__foot"):
            Button("Cancel", asked.close, look="secondary")
            Button("Save", save, testid="save-rule")
    asked.open()


class _Terms:
    """The fields that a kind of rule has."""

    def __init__(self, rule: Rule) -> None:
        self._percents: ui.select | None = None
        self._days: ui.number | None = None
        self._least: ui.number | None = None
        if rule.thresholds_percent is not None:
            options = {str(percent): f"{percent} %" for percent in (50, 80, 100)}
            chosen = [str(percent) for percent in rule.thresholds_percent]
            self._percents = choice("When so much is used", options, chosen, several=True)
        if rule.days is not None:
            self._days = number_field("When they end within", rule.days, least=1, most=60, suffix="days")
        if rule.minimum_micro is not None:
            self._least = number_field(
                "Only from",
                rule.minimum_micro / _MICRO,
                suffix="credits an hour",
                hint="Less than this is never unusual.",
            )

    def given(self) -> dict[str, Any]:
        """Return the terms as the API takes them."""
        if self._percents is not None:
            return {"thresholds_percent": sorted(int(one) for one in self._percents.value or [])}
        if self._days is not None:
            return {"days": int(self._days.value or 0)}
        if self._least is not None:
            return {"minimum_micro": round((self._least.value or 0) * _MICRO)}
        return {}
