"""`/operate/webhooks`: what payment providers told us."""

from __future__ import annotations

from console.calls import operating as calls
from console.calls.operating import Deliveries, Delivery
from console.components import states
from console.components.button import Button
from console.components.fields import Segments
from console.components.loaded import attempt
from console.components.paged import Paged
from console.components.status import StatusBadge, said
from console.components.table import Column, table
from console.components.text import Text, box, when
from console.pages.signed_in import heading
from console.visitor import Visitor

_STATUSES = {"": "All", "received": "Waiting", "failed": "Failed", "applied": "Applied", "ignored": "Ignored"}


class Webhooks:
    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._status = ""
        with heading("Webhooks", "What payment providers told us, and what came of it."):
            Segments("Status", _STATUSES, "", self._choose)
        self._loaded = Paged(
            lambda cursor: calls.deliveries(visitor, self._status, cursor),
            self._draw,
            "deliveries",
            count=5,
            every_s=10,
        )

    async def _choose(self, status: str) -> None:
        self._status = status
        await self._loaded.anew()

    def _draw(self, pages: tuple[Deliveries, ...]) -> None:
        found = [delivery for page in pages for delivery in page.deliveries]
        with box("section", "rm-card"):
            if not found:
                states.empty(
                    "No deliveries",
                    "Events of Stripe and Saleor appear here as soon as they are sent to this server.",
                    symbol="webhook",
                )
                return
            table(
                found,
                [
                    Column("Received", lambda one: when(one.received_at_ms)),
                    Column("Provider", lambda one: said(one.provider)),
                    Column("Event", lambda one: Text("span", one.kind, "rm-mono")),
                    Column("Status", lambda one: StatusBadge(one.status)),
                    Column("Why", lambda one: one.error, "rm-wide rm-wrap"),
                    Column("", self._actions),
                ],
                "Deliveries",
                testid="delivery",
                stacked=True,
            )

    def _actions(self, one: Delivery) -> None:
        if one.has_payload and one.status in ("failed", "received"):
            with box("div", "rm-table__actions"):
                Button("Replay", lambda: self._replay(one), look="ghost", small=True)

    async def _replay(self, one: Delivery) -> None:
        if await attempt(calls.replay(self._visitor, one.provider, one.event_id), "Applied once more."):
            await self._loaded.refresh()
