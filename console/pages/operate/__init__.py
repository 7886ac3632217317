"""`/operate/…`: what runs the marketplace. Only what the API offers is here, and only to operators."""

from __future__ import annotations

from collections.abc import Callable

from fastapi.responses import Response

from console.components import states
from console.page_at import page_at
from console.pages.audit import AuditLog
from console.pages.operate.catalogue import Catalogue
from console.pages.operate.corrections import Corrections
from console.pages.operate.grants import Grants
from console.pages.operate.letters import Letters
from console.pages.operate.orgs import Orgs
from console.pages.operate.prices import Prices
from console.pages.operate.reconcile import Reconciliations
from console.pages.operate.webhooks import Webhooks
from console.pages.operate.workers import workers
from console.pages.orders import OrderList
from console.pages.signed_in import heading, signed_in
from console.services import Services
from console.visitor import Visitor


def register(services: Services) -> None:
    """Add the pages."""
    pages: dict[str, tuple[str, Callable[[Visitor], object]]] = {
        "orgs": ("Organisations", Orgs),
        "orders": ("All orders", _orders),
        "catalogue": ("Catalogue", Catalogue),
        "prices": ("Prices", Prices),
        "grants": ("Grants", Grants),
        "corrections": ("Corrections", Corrections),
        "webhooks": ("Webhooks", Webhooks),
        "letters": ("Dead letters", Letters),
        "reconcile": ("Reconciliation", Reconciliations),
        "workers": ("Workers", workers),
        "audit": ("Audit", _audit),
    }

    @page_at("/operate/{page}")
    def operate(page: str) -> Response | None:
        title, draw = pages.get(page, ("Not found", _nothing))
        return signed_in(services, title, f"/operate/{page}", draw)


def _nothing(_: Visitor) -> None:
    states.empty("Page not found", "There is nothing at this address.", action="Home", href="/")


def _orders(visitor: Visitor) -> None:
    with heading("All orders", "Open one to mark it as paid, provision it again, or refund it."):
        pass
    OrderList(visitor, everywhere=True)


def _audit(visitor: Visitor) -> None:
    with heading("Audit", "Every change that somebody made anywhere, newest first."):
        pass
    AuditLog(visitor, everywhere=True)
