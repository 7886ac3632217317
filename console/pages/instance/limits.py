"""Limits of one's own over the plan's, and how a run ends when credits do."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from msgspec import Struct

from console.api import ApiError, Stale
from console.calls import instances as calls
from console.calls import usage
from console.calls.instances import Configuration, PlanLimits
from console.components.button import Button
from console.components.fields import number_field, switch
from console.components.loaded import Loaded, attempt
from console.components.text import Text, box
from console.formats import Locale
from console.pages.instance.context import InstanceContext
from console.pages.signed_in import card_head

_MICRO = 1_000_000


class _Used(Struct, frozen=True):
    """Credits used in the day and the month of now, which caps count in UTC."""

    day_micro: int
    month_micro: int


def draw(context: InstanceContext) -> None:
    _Limits(context)


class _Limits:
    """A form over one version of the configuration."""

    def __init__(self, context: InstanceContext) -> None:
        self._context = context
        self._etag = ""
        self._loaded = Loaded(self._load, self._draw, "limits", count=5)

    async def _load(self) -> tuple[Configuration, _Used | None]:
        context = self._context
        (found, self._etag), used = await asyncio.gather(
            calls.configuration(context.visitor, context.instance_id), _used(context)
        )
        return found, used

    def _draw(self, found: tuple[Configuration, _Used | None]) -> None:
        self._config, used = found
        config = self._config
        own, plan, shown = config.limits, config.plan.limits, self._context.locale
        with box("section", "rm-card", testid="limits"):
            with card_head("Limits", "Yours tighten the plan's; empty leaves it to the plan."):
                Text(
                    "span",
                    "Soft limit" if plan.soft else "Hard limit",
                    f"rm-badge rm-badge--{'warn' if plan.soft else 'muted'}",
                )
            with box("div", "rm-stack"):
                with box("div", "rm-form rm-form--two"):
                    self._daily = number_field(
                        "Credits a day",
                        own.daily_cap_micro / _MICRO or None,
                        hint=_plan_says(plan.daily_cap_micro, shown, money=True)
                        + (f" Used today: {shown.credits(used.day_micro)}." if used else ""),
                        step=1,
                        testid="daily-cap",
                    )
                    self._monthly = number_field(
                        "Credits a month",
                        own.monthly_cap_micro / _MICRO or None,
                        hint=_plan_says(plan.monthly_cap_micro, shown, money=True)
                        + (f" Used this month: {shown.credits(used.month_micro)}." if used else ""),
                    )
                    self._requests = number_field(
                        "Requests a minute",
                        own.requests_per_minute or None,
                        hint=_plan_says(plan.requests_per_minute, shown),
                    )
                    self._tokens = number_field(
                        "Tokens a minute",
                        own.tokens_per_minute or None,
                        hint=_plan_says(plan.tokens_per_minute, shown),
                    )
                    self._runs = number_field(
                        "Runs at once",
                        own.max_concurrent_runs or None,
                        hint=_plan_says(plan.max_concurrent_runs, shown),
                    )
                self._cap = switch(
                    "Shorten an answer that cannot be paid in full",
                    own.cap_output,
                    hint="Otherwise such a request is refused before it costs anything.",
                )
                Text("p", _when_empty(plan, shown), "rm-note rm-small")
            with box("div", "rm-card__foot"):
                Button("Save limits", self._save, testid="save-limits")

    async def _save(self) -> None:
        if await attempt(self._write(), "Limits saved. Gateways follow at once."):
            await self._loaded.refresh()

    async def _write(self) -> None:
        made = calls.copy(self._config)
        made.limits.daily_cap_micro = _micro(self._daily.value)
        made.limits.monthly_cap_micro = _micro(self._monthly.value)
        made.limits.requests_per_minute = int(self._requests.value or 0)
        made.limits.tokens_per_minute = int(self._tokens.value or 0)
        made.limits.max_concurrent_runs = int(self._runs.value or 0)
        made.limits.cap_output = bool(self._cap.value)
        context = self._context
        try:
            await calls.configure(context.visitor, context.instance_id, made, self._etag)
        except Stale as error:
            await self._loaded.refresh()
            raise Stale(
                error.status, error.code, "Somebody else saved in the meantime; the form now shows theirs."
            ) from error


async def _used(context: InstanceContext) -> _Used | None:
    """Return what was used; `None` while history cannot be asked: limits can be set without it."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        found = await usage.usage(
            context.visitor,
            context.instance_id,
            start=str(_ms(today.replace(day=1))),
            to="",
            window="day",
            group_by="none",
            tz="UTC",
        )
    except ApiError:
        return None
    days = [point for series in found.series for point in series.points]
    used_today = sum(point.credits_micro for point in days if point.start_ms >= _ms(today))
    return _Used(used_today, found.totals.credits_micro)


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _micro(credits: float | None) -> int:
    return round((credits or 0) * _MICRO)


def _plan_says(limit: int, shown: Locale, *, money: bool = False) -> str:
    if not limit:
        return "The plan sets no limit."
    return f"The plan allows {shown.credits(limit) if money else shown.integer(limit)}."


def _when_empty(plan: PlanLimits, shown: Locale) -> str:
    if plan.soft:
        return (
            "Your plan's limit is soft: at zero credits runs go on, down to "
            f"{shown.credits(plan.overage_micro)} credits of debt. The next you add settle it first."
        )
    return (
        "Your plan's limit is hard: at zero credits new runs are refused, and running ones end with what "
        "they have."
    )
