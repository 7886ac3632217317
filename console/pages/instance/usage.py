"""Usage & limits: live and past usage, when the credits run out, and limits of one's own."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import urlencode

from console.calls import usage as calls
from console.calls.usage import Usage
from console.components.button import link_button
from console.components.fields import Segments
from console.components.history_chart import GROUP_COLORS, Past, history_chart
from console.components.loaded import Loaded
from console.components.status import said
from console.components.table import Column, table
from console.components.text import Text, box, when
from console.pages.instance import forecast, limits
from console.pages.instance.context import InstanceContext
from console.pages.live_usage import connect, live_charts, live_tiles, out_of_credits
from console.pages.signed_in import card_head
from console.session import zone

_DAY_MS = 86_400_000
#: Name, days, width of the windows.
_RANGES = {
    "1d": ("24 hours", 1, "hour"),
    "7d": ("7 days", 7, "hour"),
    "30d": ("30 days", 30, "day"),
    "90d": ("90 days", 90, "day"),
}
_GROUPS = {"none": "Nothing", "model": "Model", "channel": "Channel", "status": "Status", "key_id": "Key"}


def draw(context: InstanceContext) -> None:
    with box("div", "rm-stack"):
        out_of_credits()
        live_tiles()
        forecast.draw(context)
        _Usage(context)
        limits.draw(context)
    connect(context)


class _Usage:
    """Charts and a table of a range, by a group; `live` are the last minutes."""

    def __init__(self, context: InstanceContext) -> None:
        self._context = context
        self._range = "7d"
        self._group = "none"
        self._zone = zone()
        with box("section", "rm-stack").props('aria-label="Usage over time"'):
            with box("div", "rm-row rm-row--between"):
                Segments(
                    "Range",
                    {"live": "Live", **{key: name for key, (name, _, _) in _RANGES.items()}},
                    self._range,
                    self._choose_range,
                )
                self._grouping = box("div", "rm-row")
                with self._grouping:
                    Text("span", "Group by", "rm-muted rm-small")
                    Segments("Group by", _GROUPS, self._group, self._choose_group)
            self._live = box("div")
            with self._live:
                live_charts()
            self._live.set_visibility(False)
            self._past = Loaded(self._load, self._draw, "usage", shape="cards", count=4)

    async def _choose_range(self, key: str) -> None:
        self._range = key
        self._live.set_visibility(key == "live")
        # What is live is counted for the instance as a whole.
        self._grouping.set_visibility(key != "live")
        self._past.body.set_visibility(key != "live")
        if key != "live":
            await self._past.refresh()

    async def _choose_group(self, key: str) -> None:
        self._group = key
        await self._past.refresh()

    def _query(self) -> dict[str, str]:
        _, days, window = _RANGES[self._range]
        start = datetime.now(self._zone) - timedelta(days=days)
        # Where a window begins, so that the first one is not half empty.
        start = start.replace(minute=0, second=0, microsecond=0)
        if window == "day":
            start = start.replace(hour=0)
        at_ms = str(int(start.timestamp() * 1000))
        return {"start": at_ms, "to": "", "window": window, "group_by": self._group, "tz": self._zone.key}

    async def _load(self) -> Usage:
        context, query = self._context, self._query()
        return await calls.usage(
            context.visitor,
            context.instance_id,
            start=query["start"],
            to=query["to"],
            window=query["window"],
            group_by=query["group_by"],
            tz=query["tz"],
        )

    def _draw(self, usage: Usage) -> None:
        with box("div", "rm-stack"):
            if usage.totals.started == 0:
                with box("div", "rm-card"):
                    Text(
                        "p",
                        "No runs in this range. They appear here some seconds after they start.",
                        "rm-muted",
                    )
                return
            with box("div", "rm-charts"):
                (_grouped_charts if usage.group_by != "none" else _plain_charts)(usage, self._context)
            self._draw_table(usage)

    def _draw_table(self, usage: Usage) -> None:
        shown = self._context.locale
        with box("section", "rm-card"):
            title = "Totals" if usage.group_by == "none" else f"By {_GROUPS[usage.group_by].lower()}"
            with card_head(title), box("div", "rm-row"):
                recorded = usage.freshness.recorded_at_ms
                if recorded:
                    with box("span", "rm-muted rm-small"):
                        Text("span", "History up to ")
                        when(recorded, "ago")
                query = {**self._query(), "from": str(usage.from_ms), "to": str(usage.to_ms)}
                query.pop("start")
                query["org"] = self._context.visitor.org_id
                for name in ("CSV", "Parquet"):
                    kind = name.lower()
                    link_button(
                        name,
                        f"/download/usage/{self._context.instance_id}.{kind}?{urlencode(query)}",
                        look="secondary",
                        symbol="download",
                        small=True,
                        testid=f"usage-{kind}",
                    )
            rows = [(group.key or "none", group.totals) for group in usage.groups]
            rows = [*rows, ("All", usage.totals)]
            named = said if usage.group_by == "status" else str
            table(
                rows,
                [
                    Column("", lambda row: named(row[0])),
                    Column("Runs", lambda row: shown.integer(row[1].runs), "rm-number"),
                    Column("Errors", lambda row: shown.integer(row[1].errors), "rm-number"),
                    Column("Tokens in", lambda row: shown.integer(row[1].tokens_in), "rm-number rm-wide"),
                    Column("Tokens out", lambda row: shown.integer(row[1].tokens_out), "rm-number rm-wide"),
                    Column("Tools", lambda row: shown.integer(row[1].tool_calls), "rm-number rm-wide"),
                    Column(
                        "p50", lambda row: shown.duration(int(row[1].duration_p50_ms)), "rm-number rm-wide"
                    ),
                    Column(
                        "p95", lambda row: shown.duration(int(row[1].duration_p95_ms)), "rm-number rm-wide"
                    ),
                    Column(
                        "p99", lambda row: shown.duration(int(row[1].duration_p99_ms)), "rm-number rm-wide"
                    ),
                    Column("Credits", lambda row: shown.credits(row[1].credits_micro), "rm-number"),
                ],
                title,
                testid="usage-row",
            )


def _axis(usage: Usage) -> str:
    """Return how the time axis is written: hours of more than a day are told apart by their dates."""
    return "week" if usage.window == "hour" and usage.to_ms - usage.from_ms > 1.1 * _DAY_MS else usage.window


def _plain_charts(usage: Usage, context: InstanceContext) -> None:
    points = usage.series[0].points
    at = [point.start_ms for point in points]
    shown, totals = context.locale, usage.totals

    def chart(testid: str, title: str, words: str, *series: Past) -> None:
        history_chart(testid, title, _axis(usage), at=at, series=series, in_words=words)

    chart(
        "runs",
        "Runs and errors",
        f"{shown.integer(totals.runs)} runs, {shown.integer(totals.errors)} errors",
        Past(name="Completed", values=[p.completed for p in points], color="chart-1", stack="runs"),
        Past(name="Errors", values=[p.errors for p in points], color="chart-4", stack="runs"),
        Past(name="Cancelled", values=[p.cancelled for p in points], color="chart-3", stack="runs"),
    )
    chart(
        "tokens",
        "Tokens",
        f"{shown.integer(totals.tokens_in)} in, {shown.integer(totals.tokens_out)} out",
        Past(name="Tokens in", values=[p.tokens_in for p in points], color="chart-2", stack="tokens"),
        Past(name="Tokens out", values=[p.tokens_out for p in points], color="chart-1", stack="tokens"),
    )
    chart(
        "credits",
        "Credits",
        shown.credits(totals.credits_micro),
        Past(name="Credits", values=[p.credits_micro / 1e6 for p in points], color="chart-1", kind="credits"),
    )
    chart(
        "latency",
        "Latency",
        f"median {shown.duration(int(totals.duration_p50_ms))}, "
        f"p95 {shown.duration(int(totals.duration_p95_ms))}",
        *(
            Past(
                name=name,
                values=[getattr(p, field) if p.runs else None for p in points],
                color=color,
                kind="duration",
                shape="line",
            )
            for name, field, color in (
                ("p50", "duration_p50_ms", "chart-2"),
                ("p95", "duration_p95_ms", "chart-3"),
                ("p99", "duration_p99_ms", "chart-4"),
            )
        ),
    )
    chart(
        "tools",
        "Tool calls",
        shown.integer(totals.tool_calls),
        Past(name="Tool calls", values=[p.tool_calls for p in points], color="chart-2"),
    )


def _grouped_charts(usage: Usage, context: InstanceContext) -> None:
    """Draw each measure stacked by group; those beyond the colours share the last one."""
    at = [point.start_ms for point in usage.series[0].points] if usage.series else []
    measures = (
        ("tokens-in", "Tokens in", "tokens_in", "integer", 1),
        ("tokens-out", "Tokens out", "tokens_out", "integer", 1),
        ("credits", "Credits", "credits_micro", "credits", 1e6),
        ("runs", "Runs", "runs", "integer", 1),
    )
    for testid, title, field, kind, scale in measures:
        series = [
            Past(
                name=said(one.group or "none") if usage.group_by == "status" else one.group or "none",
                values=[getattr(p, field) / scale if scale != 1 else getattr(p, field) for p in one.points],
                color=GROUP_COLORS[min(order, len(GROUP_COLORS) - 1)],
                kind="credits" if kind == "credits" else "integer",
                stack="groups",
            )
            for order, one in enumerate(usage.series)
        ]
        say = context.locale.credits if kind == "credits" else context.locale.integer
        words = ", ".join(
            f"{group.key or 'none'} {say(getattr(group.totals, field))}" for group in usage.groups
        )
        history_chart(testid, title, _axis(usage), at=at, series=series, in_words=words)
