"""`/account/runs/{run_id}`: what one run did, in order."""

from __future__ import annotations

from urllib.parse import quote

from fastapi.responses import Response
from nicegui import ui

from console.api import Missing
from console.calls import instances as calls
from console.calls.instances import Run
from console.components import states
from console.components.loaded import Loaded
from console.components.status import StatusBadge, said, tone_of
from console.components.text import Text, box, link, when
from console.formats import Locale
from console.pages.instance.context import instance_path
from console.pages.signed_in import signed_in
from console.services import Services
from console.session import HOME_PATH, locale
from console.visitor import Visitor

_MAX_INSTANCES = 4


def register(services: Services) -> None:
    """Add the page."""

    @ui.page("/account/runs/{run_id}")
    def run(run_id: str, instance: str = "") -> Response | None:
        return signed_in(services, "Run", HOME_PATH, lambda visitor: _page(visitor, run_id, instance))


def _page(visitor: Visitor, run_id: str, instance_id: str) -> None:
    shown = locale()
    with box("nav", "rm-crumbs").props('aria-label="Breadcrumb"'):
        link("My Instances", HOME_PATH)
        if instance_id:
            Text("span", "/", "rm-muted").props('aria-hidden="true"')
            link("Instance", instance_path(instance_id))
        Text("span", "/", "rm-muted").props('aria-hidden="true"')
        Text("span", "Run").props('aria-current="page"')

    async def load() -> tuple[str, Run] | None:
        return await _find(visitor, run_id, instance_id)

    def draw(found: tuple[str, Run] | None) -> None:
        if found is None:
            states.empty(
                "Run not found",
                "It does not exist, belongs to another organisation, or has not reached the history yet. "
                "Runs appear there some seconds after they started.",
                symbol="search_off",
                action="My Instances",
                href=HOME_PATH,
                testid="not-found",
                heading="h1",
            )
        else:
            _draw(found[0], found[1], shown)

    Loaded(load, draw, "run", count=6, every_s=3.0)


async def _find(visitor: Visitor, run_id: str, instance_id: str) -> tuple[str, Run] | None:
    """Return the run and its instance; without an address of it, look through the newest instances."""
    asked = [instance_id]
    if not instance_id:
        page = await calls.instances(visitor)
        asked = [item.instance_id for item in page.instances[:_MAX_INSTANCES]]
    for candidate in asked:
        try:
            return candidate, await calls.run(visitor, candidate, run_id)
        except Missing:
            continue
    return None


def _draw(instance_id: str, run: Run, shown: Locale) -> None:
    with box("div", "rm-title"), box("div"):
        with box("div", "rm-title__line"):
            Text("h1", "Run")
            StatusBadge(run.status)
        Text("p", run.run_id, "rm-muted rm-mono")
    with box("div", "rm-stack"):
        _tiles(run, shown)
        with box("div", "rm-columns"):
            _timeline(run, shown)
            _details(instance_id, run, shown)


def _tiles(run: Run, shown: Locale) -> None:
    with box("dl", "rm-tiles"):
        for label, value in (
            ("Duration", duration(run.duration_ms, shown) if run.status != "started" else "Running"),
            ("Tokens in", shown.integer(run.tokens_in)),
            ("Tokens out", shown.integer(run.tokens_out)),
            ("Credits", shown.credits(run.credits_micro)),
        ):
            with box("div", "rm-card rm-tile"):
                Text("dt", label, "rm-muted")
                Text("dd", value, "rm-tile__value")


def _timeline(run: Run, shown: Locale) -> None:
    with box("section", "rm-card"):
        Text("h2", "Timeline")
        with box("ol", "rm-timeline", testid="timeline").style("margin-top:14px"):
            _moment("Admitted", f"Over {run.channel}, for {run.model}.", run.started_at_ms)
            if run.model_calls:
                cached = f", {shown.integer(run.cache_read)} of them from cache" if run.cache_read else ""
                _moment(
                    f"{shown.integer(run.model_calls)} model call{'s' if run.model_calls != 1 else ''}",
                    f"{shown.integer(run.tokens_in)} tokens in{cached}; {shown.integer(run.tokens_out)} out.",
                )
            if run.tool_calls:
                _moment(f"{shown.integer(run.tool_calls)} tool call{'s' if run.tool_calls != 1 else ''}", "")
            if run.status == "started":
                _moment("Running", "Its end is not known yet.")
                return
            why = f"Error: {run.error_code}." if run.error_code else ""
            _moment(said(run.status), why, run.closed_at_ms or 0, tone_of(run.status))
            _moment(
                "Charged",
                f"{shown.credits(run.credits_micro)} credits, prices {run.price_version or 'of no version'}.",
            )


def _moment(title: str, detail: str, at_ms: int = 0, tone: str = "") -> None:
    with box("li") as item:
        if tone:
            item.props["data-tone"] = tone
        Text("h3", title)
        if detail:
            Text("p", detail, "rm-muted rm-small")
        if at_ms:
            when(at_ms, "moment", "rm-muted rm-small")


def _details(instance_id: str, run: Run, shown: Locale) -> None:
    notes = [
        *(["A count was estimated: the provider reported none."] if run.estimated else []),
        *(["The model had no price of its own; the default was charged."] if run.unpriced else []),
    ]
    facts = (
        ("Model", run.model),
        ("Channel", run.channel),
        ("Key", run.key_id),
        ("End user", run.end_user),
        ("Streamed", "Yes" if run.streamed else "No"),
        ("Cache written", shown.integer(run.cache_write) if run.cache_write else ""),
        ("Reasoning tokens", shown.integer(run.reasoning) if run.reasoning else ""),
        ("Price version", run.price_version),
        ("Error", run.error_code),
    )
    with box("section", "rm-card"):
        Text("h2", "Details")
        with box("dl", "rm-terms").style("margin-top:14px"):
            for label, value in facts:
                if value:
                    Text("dt", label)
                    Text("dd", value)
        for note in notes:
            with box("p", "rm-note rm-note--warn").style("margin-top:14px"):
                Text("span", note)
        with box("p", "rm-small").style("margin-top:14px"):
            link("Its ledger entry", f"/account/wallet?about={quote(run.run_id, safe='')}")
            Text("span", " · ")
            link("The instance", instance_path(instance_id))


def duration(ms: int, shown: Locale) -> str:
    """Return a duration as people say it."""
    if ms < 1_000:
        return f"{shown.integer(ms)} ms"
    return f"{ms / 1000:.1f}".replace(".", shown.decimal) + " s"
