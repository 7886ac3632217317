"""`/account/runs/{run_id}`: what one run did, what each part of it cost, and where it is written down."""

from __future__ import annotations

from fastapi.responses import Response

from console.api import Missing
from console.calls import inspection as inspections
from console.calls.inspection import Inspection
from console.calls.instances import Run
from console.components import states
from console.components.loaded import Loaded
from console.components.short_id import short_id
from console.components.status import StatusBadge
from console.components.text import Text, box, link
from console.formats import Locale
from console.page_at import page_at
from console.pages.inspector import bill, records, timeline
from console.pages.instance.context import instance_path
from console.pages.signed_in import signed_in
from console.services import Services
from console.session import HOME_PATH, locale
from console.visitor import Visitor

_EVERY_S = 3.0
#: Of a run that is known in full only corrections are to come: of so many askings one is made.
_SPARED = 20


def register(services: Services) -> None:
    """Add the page."""

    @page_at("/account/runs/{run_id}")
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

    asking = _Asking(visitor, run_id, instance_id)

    def draw(found: tuple[str, Inspection] | None) -> None:
        if found is None:
            states.empty(
                "Run not found",
                "It does not exist, belongs to another organisation, or was not metered yet. "
                "Runs appear here some seconds after they started.",
                symbol="search_off",
                action="My Instances",
                href=HOME_PATH,
                testid="not-found",
                heading="h1",
            )
        else:
            _draw(found[0], found[1], shown)

    Loaded(asking.ask, draw, "run", count=6, every_s=_EVERY_S)


class _Asking:
    """Asks for a run again and again: often until all of it is known, seldom afterwards."""

    def __init__(self, visitor: Visitor, run_id: str, instance_id: str) -> None:
        self._asked = (visitor, run_id, instance_id)
        self._found: tuple[str, Inspection] | None = None
        self._spared = 0

    async def ask(self) -> tuple[str, Inspection] | None:
        if self._found and _complete(self._found[1]) and self._spared < _SPARED:
            self._spared += 1
        else:
            self._spared = 0
            self._found = await _find(*self._asked)
        return self._found


def _complete(found: Inspection) -> bool:
    return found.run.status != "started" and not found.arriving


async def _find(visitor: Visitor, run_id: str, instance_id: str) -> tuple[str, Inspection] | None:
    """Return the run and its instance, which who links here from the ledger does not know."""
    try:
        instance_id = instance_id or await inspections.instance_of(visitor, run_id)
        return instance_id, await inspections.inspection(visitor, instance_id, run_id)
    except Missing:
        return None


def _draw(instance_id: str, found: Inspection, shown: Locale) -> None:
    run = found.run
    with box("div", "rm-title"), box("div"):
        with box("div", "rm-title__line"):
            Text("h1", "Run")
            StatusBadge(run.status)
        short_id(run.run_id)
    with box("div", "rm-stack"):
        if found.arriving:
            _arriving()
        _tiles(run, shown)
        with box("div", "rm-columns rm-columns--wide"):
            with box("section", "rm-card"):
                Text("h2", "Timeline", "rm-card__title rm-spaced")
                timeline.draw(found, shown)
            _details(instance_id, run, shown)
        bill.draw(found, shown)
        records.draw_ledger(found, shown)
        records.draw_events(found)


def _arriving() -> None:
    with box("div", "rm-note rm-note--brand", testid="arriving").props("role=status"):
        Text(
            "span",
            "Some of this run is still on its way to history. What it was charged is final as far as it is "
            "shown; times, ledger and events appear here by themselves, within seconds.",
        )


def _tiles(run: Run, shown: Locale) -> None:
    with box("dl", "rm-tiles"):
        for label, value in (
            ("Duration", shown.duration(run.duration_ms) if run.status != "started" else "Running"),
            ("Tokens in", shown.integer(run.tokens_in)),
            ("Tokens out", shown.integer(run.tokens_out)),
            ("Credits", shown.credits(run.credits_micro)),
        ):
            with box("div", "rm-card rm-tile"):
                Text("dt", label, "rm-muted")
                Text("dd", value, "rm-tile__value")


def _details(instance_id: str, run: Run, shown: Locale) -> None:
    facts = (
        ("Model", run.model),
        ("Channel", run.channel),
        ("Key", run.key_id),
        ("End user", run.end_user),
        ("Streamed", "Yes" if run.streamed else "No"),
        ("Model calls", shown.integer(run.model_calls)),
        ("Tool calls", shown.integer(run.tool_calls)),
        ("Cache read", shown.integer(run.cache_read) if run.cache_read else ""),
        ("Cache written", shown.integer(run.cache_write) if run.cache_write else ""),
        ("Reasoning", shown.integer(run.reasoning) if run.reasoning else ""),
        ("Price book", run.price_version),
        ("Error", run.error_code),
    )
    with box("section", "rm-card"):
        Text("h2", "Details", "rm-card__title rm-spaced")
        with box("dl", "rm-terms"):
            for label, value in facts:
                if value:
                    Text("dt", label)
                    Text("dd", value)
        if run.estimated:
            with box("p", "rm-note rm-note--warn").style("margin-top:14px"):
                Text("span", "A count was estimated: the provider reported none.")
        with box("p", "rm-small").style("margin-top:14px"):
            link("The instance", instance_path(instance_id))
