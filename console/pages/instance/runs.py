"""Runs: all of an instance's, by status, model, channel and range; each leads to what it did and cost."""

from __future__ import annotations

import time
from collections.abc import Mapping

from nicegui import ui

from console.calls import instances as calls
from console.calls import usage
from console.calls.instances import Run, RunPage
from console.components import states
from console.components.fields import Segments, choice
from console.components.paged import Paged
from console.components.runs_table import run_path
from console.components.status import StatusBadge, said
from console.components.table import Column, table
from console.components.text import box, link_around, when
from console.pages.instance.context import InstanceContext
from console.pages.signed_in import card_head

_STATUSES = ("started", "completed", "failed", "cancelled", "limit_exceeded", "lost")
_CHANNELS = ("api", "widget", "openai", "mcp", "console", "intake")
_DAY_MS = 86_400_000
_DAYS = {"1": "24 hours", "7": "7 days", "30": "30 days", "90": "90 days"}
_ANY = {"": "All"}


def draw(context: InstanceContext) -> None:
    _Runs(context)


class _Runs:
    """The newest runs that its filters let through, older ones on request."""

    def __init__(self, context: InstanceContext) -> None:
        self._context = context
        self._days = "7"
        self._from_ms = _ago_ms(7)
        self._offered_from_ms = 0
        with box("section", "rm-card", testid="runs-card"):
            with card_head("Runs", "Newest first. A run appears some seconds after it started."):
                Segments("Range", _DAYS, self._days, self._choose_range)
            with box("div", "rm-filters").style("margin-bottom:14px"):
                self._status = self._filter("Status", {name: said(name) for name in _STATUSES})
                self._model = self._filter("Model", {})
                self._channel = self._filter("Channel", {name: name for name in _CHANNELS})
            self._loaded = Paged(self._read, self._draw, "runs", count=8)

    def _filter(self, label: str, options: Mapping[str, str]) -> ui.select:
        return choice(
            label,
            {**_ANY, **options},
            "",
            on_change=lambda _: self._loaded.anew(),
            testid=f"runs-{label.lower()}",
        )

    async def _choose_range(self, days: str) -> None:
        self._days = days
        self._from_ms = _ago_ms(int(days))
        await self._loaded.anew()

    async def _offer_models(self, from_ms: int) -> None:
        """Offer the models that runs of the range had: also those that the plan no longer knows."""
        found = await usage.usage(
            self._context.visitor,
            self._context.instance_id,
            start=str(from_ms),
            to="",
            window="day",
            group_by="model",
            tz="UTC",
        )
        if from_ms != self._from_ms:
            return  # another range was chosen meanwhile, and its answer may be here already
        self._offered_from_ms = from_ms
        models = {group.key: group.key for group in found.groups if group.key}
        chosen = str(self._model.value or "")
        kept = {chosen: chosen} if chosen else {}
        self._model.set_options({**_ANY, **models, **kept}, value=chosen)

    async def _read(self, cursor: str | None) -> RunPage:
        # With the list, which says what is wrong and tries again when asked to.
        if self._offered_from_ms != self._from_ms:
            await self._offer_models(self._from_ms)
        return await calls.runs(
            self._context.visitor,
            self._context.instance_id,
            50,
            cursor=cursor or "",
            status=str(self._status.value or ""),
            model=str(self._model.value or ""),
            channel=str(self._channel.value or ""),
            **{"from": str(self._from_ms)},
        )

    def _draw(self, pages: tuple[RunPage, ...]) -> None:
        found = [run for page in pages for run in page.runs]
        shown = self._context.locale
        if not found:
            states.empty(
                "No runs here",
                "None of this range is like that. Choose another range or filter.",
                symbol="search_off",
                testid="no-runs",
            )
            return
        table(
            found,
            [
                Column("Started", self._started),
                Column("Status", lambda run: StatusBadge(run.status)),
                Column("Model", lambda run: run.model),
                Column("Channel", lambda run: run.channel),
                Column("Tokens in", lambda run: shown.integer(run.tokens_in), "rm-number"),
                Column("Tokens out", lambda run: shown.integer(run.tokens_out), "rm-number"),
                Column("Tools", lambda run: shown.integer(run.tool_calls), "rm-number"),
                Column(
                    "Duration",
                    lambda run: shown.duration(run.duration_ms) if run.status != "started" else "\u2013",
                    "rm-number",
                ),
                Column("Credits", lambda run: shown.credits(run.credits_micro), "rm-number"),
            ],
            "Runs",
            href=self._path,
            testid="run-row",
            stacked=True,
        )

    def _path(self, run: Run) -> str:
        return run_path(self._context.instance_id, run.run_id)

    def _started(self, run: Run) -> None:
        with link_around(self._path(run)):
            when(run.started_at_ms)


def _ago_ms(days: int) -> int:
    return int(time.time() * 1000) - days * _DAY_MS
