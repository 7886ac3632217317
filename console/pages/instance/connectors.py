"""Connectors: other systems an instance may use, each with a form made from its kind's JSON Schemas."""

from __future__ import annotations

import asyncio
from functools import partial

from msgspec import Struct

from console.calls import connectors as calls
from console.calls.connectors import Connector, ConnectorList, Kind, Tested
from console.components import states
from console.components.button import Button
from console.components.dialog import confirmed, dialog
from console.components.fields import switch, text_field
from console.components.loaded import Loaded, attempt, toast
from console.components.schema_form import Incomplete, SchemaForm
from console.components.status import StatusBadge
from console.components.text import Text, box, when
from console.pages.instance.context import InstanceContext
from console.pages.signed_in import card_head


class _Known(Struct, frozen=True):
    kinds: tuple[Kind, ...]
    found: ConnectorList


def draw(context: InstanceContext) -> None:
    _Connectors(context)


class _Connectors:
    """What is connected, and below what can be."""

    def __init__(self, context: InstanceContext) -> None:
        self._context = context
        self._loaded = Loaded(self._load, self._draw, "connectors", shape="cards")

    async def _load(self) -> _Known:
        visitor = self._context.visitor
        found, kinds = await asyncio.gather(
            calls.connectors(visitor, self._context.instance_id), calls.kinds(visitor)
        )
        return _Known(kinds, found)

    def _draw(self, known: _Known) -> None:
        by_name = {kind.kind: kind for kind in known.kinds}
        with box("div", "rm-stack"):
            with box("section", "rm-stack").props('aria-label="Connected"'):
                if known.found.connectors:
                    with box("div", "rm-grid"):
                        for connector in known.found.connectors:
                            self._draw_one(connector, by_name.get(connector.kind))
                else:
                    with box("div", "rm-card"):
                        states.empty(
                            "Nothing is connected yet",
                            "Connect a system below, and the agent gets its tools.",
                            symbol="cable",
                            testid="no-connectors",
                        )
            with box("section", "rm-card", testid="connector-kinds"):
                full = len(known.found.connectors) >= known.found.max_connectors
                limit = f"Up to {known.found.max_connectors} in all."
                with card_head(
                    "Connect another system", limit if not full else f"{limit} Delete one to add another."
                ):
                    pass
                with box("ul", "rm-steps"):
                    for kind in known.kinds:
                        with box("li").style("grid-template-columns:minmax(0,1fr) auto"):
                            with box("div"):
                                Text("h3", kind.title)
                                Text("p", kind.description, "rm-muted rm-small")
                            if not full:
                                Button(
                                    "Connect",
                                    partial(self._ask, kind, None),
                                    look="secondary",
                                    small=True,
                                    label=f"Connect {kind.title}",
                                )

    def _draw_one(self, connector: Connector, kind: Kind | None) -> None:
        with box("article", "rm-card", testid="connector"):
            with box("div", "rm-card__head"):
                with box("div"):
                    Text("h2", connector.name)
                    Text("p", kind.title if kind else connector.kind, "rm-muted rm-small")
                StatusBadge("active" if connector.enabled else "paused")
            if connector.tools:
                Text("p", ", ".join(connector.tools), "rm-mono rm-muted")
            who = "may use it, too" if connector.for_visitors else "may not use it"
            Text("p", f"Visitors of your pages {who}.", "rm-muted rm-small")
            with box("p", "rm-small"):
                if connector.last_test is None:
                    Text("span", "Not tried since it was changed.", "rm-muted")
                else:
                    Text(
                        "span",
                        connector.last_test.said,
                        "rm-plus" if connector.last_test.passed else "rm-error",
                    )
                    Text("span", " ")
                    when(connector.last_test.at_ms, "ago", "rm-muted")
            with box("div", "rm-row").style("margin-top:14px"):
                Button("Test", lambda: self._test(connector), look="secondary", small=True)
                if kind is not None:
                    Button("Settings", lambda: self._ask(kind, connector), look="ghost", small=True)
                text = "Switch off" if connector.enabled else "Switch on"
                Button(text, lambda: self._switch(connector), look="ghost", small=True)
                Button("Delete", lambda: self._delete(connector), look="ghost", small=True)

    def _ask(self, kind: Kind, connector: Connector | None) -> None:
        title = connector.name if connector else f"Connect {kind.title}"
        with dialog(title, kind.description, wide=True) as asked:
            name = text_field("Name", connector.name if connector else kind.title, longest=100)
            known, kept = connector.settings if connector else {}, connector is not None
            settings = SchemaForm(kind.settings_schema, known, kept=kept)
            credentials = SchemaForm(kind.credentials_schema, {}, secret=True, kept=kept)
            visitors = switch(
                "Visitors of your pages may use it",
                connector.for_visitors if connector else kind.for_visitors,
                hint="Anybody can ask the widget to do whatever this can. API and MCP clients always may.",
                testid="for-visitors",
            )

            async def save() -> None:
                try:
                    wanted: dict[str, object] = {
                        "settings": settings.values(),
                        "credentials": credentials.values(),
                        "for_visitors": bool(visitors.value),
                    }
                except Incomplete as error:
                    toast(str(error), bad=True)
                    return
                wanted["name"] = str(name.value or "").strip() or kind.title
                if await attempt(
                    self._write(kind, connector, wanted), "Saved. Test it to see whether it works."
                ):
                    asked.close()
                    await self._loaded.refresh()

            with box("div", "rm-dialog__foot"):
                Button("Cancel", asked.close, look="secondary")
                Button("Save", save)
        asked.open()

    async def _write(self, kind: Kind, connector: Connector | None, wanted: dict[str, object]) -> None:
        context = self._context
        if connector is None:
            await calls.create(context.visitor, context.instance_id, kind=kind.kind, **wanted)
            return
        changed = {name: value for name, value in wanted.items() if value is not None}
        await calls.change(context.visitor, context.instance_id, connector.connector_id, **changed)

    async def _switch(self, connector: Connector) -> None:
        context = self._context
        work = calls.change(
            context.visitor, context.instance_id, connector.connector_id, enabled=not connector.enabled
        )
        if await attempt(work):
            await self._loaded.refresh()

    async def _test(self, connector: Connector) -> None:
        found: list[Tested] = []

        async def call() -> None:
            context = self._context
            found.append(await calls.test(context.visitor, context.instance_id, connector.connector_id))

        if await attempt(call()):
            toast(
                found[0].said or ("It works." if found[0].passed else "It failed."), bad=not found[0].passed
            )
            await self._loaded.refresh()

    async def _delete(self, connector: Connector) -> None:
        what = "The agent loses its tools, and its credentials are deleted."
        if await confirmed(f"Delete {connector.name}?", what, "Delete"):
            context = self._context
            work = calls.delete(context.visitor, context.instance_id, connector.connector_id)
            if await attempt(work, "Deleted."):
                await self._loaded.refresh()
