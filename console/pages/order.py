"""`/account/orders/{id}`: one order on its way."""

from __future__ import annotations

from console.api import ApiError
from console.calls import account as accounts
from console.calls import operating
from console.calls import shop as calls
from console.calls.shop import Order, WelcomeKey
from console.components.button import Button, link_button
from console.components.code import code_block
from console.components.dialog import dialog
from console.components.fields import text_field
from console.components.icon import icon
from console.components.loaded import Loaded, attempt
from console.components.status import StatusBadge
from console.components.text import Text, box, link, when
from console.pages.buy import EVERY
from console.pages.instance.context import instance_path
from console.pages.topup import METHODS
from console.session import locale
from console.visitor import Visitor

#: Where orders are listed, and below which each has its page.
PATH = "/account/orders"
_EVERY_S = 1.5
#: Of an order that is none of these, of so many readings one is made: somebody else may retry or refund it.
_UNDER_WAY = ("pending", "paid")
_SPARED = 20
#: The steps of provisioning, and how they are called.
_STEPS = {
    "instance": "The instance is made",
    "credits": "Credits are added",
    "key": "A key is made",
    "active": "It is switched on",
}


class OneOrder:
    """One order. It is read again often while something is to happen by itself, and seldom afterwards."""

    def __init__(self, visitor: Visitor, order_id: str) -> None:
        self._visitor = visitor
        self._order_id = order_id
        self._shown = locale()
        self._operates = False
        #: Of an operator who acts for nobody: whose order it is.
        self._org = ""
        self._names: dict[str, str] | None = None
        self._order: Order | None = None
        self._spared = 0
        with box("nav", "rm-crumbs").props('aria-label="Breadcrumb"'):
            link("Orders & billing", PATH)
            Text("span", "/", "rm-muted").props('aria-hidden="true"')
            Text("span", "Order").props('aria-current="page"')
        self._loaded = Loaded(self._load, self._draw, "order", count=6, every_s=_EVERY_S)

    async def _load(self) -> Order:
        if self._order is None or self._order.status in _UNDER_WAY or self._spared == _SPARED:
            self._spared = 0
            self._order = await self._read()
        else:
            self._spared += 1
        return self._order

    async def _read(self) -> Order:
        if not self._operates:
            try:
                self._operates = (await accounts.account(self._visitor)).operates
            except ApiError:
                self._operates = False
        if self._names is None:
            self._names = await calls.plan_names(self._visitor)
        order = await calls.order(self._visitor, self._order_id)
        if self._operates and not self._visitor.org_id and not self._org:
            self._org = await operating.org_name(self._visitor, order.org_id)
        return order

    async def _anew(self) -> None:
        self._order = None
        await self._loaded.refresh()

    def _draw(self, order: Order) -> None:
        with box("div", "rm-title"), box("div"):
            with box("div", "rm-title__line"):
                Text("h1", (self._names or {}).get(order.plan, order.plan))
                StatusBadge(order.status, testid="order-status")
            Text("p", order.order_id, "rm-muted rm-mono")
        with box("div", "rm-columns"):
            with box("section", "rm-card"):
                Text("h2", "Progress")
                self._draw_steps(order)
                self._draw_next(order)
            self._draw_facts(order)

    def _draw_steps(self, order: Order) -> None:
        names = list(_STEPS)
        reached = (
            names.index(order.step) if order.step in names else len(names) if order.step == "done" else -1
        )
        paid = order.status in ("paid", "provisioned", "failed") or reached >= 0
        agent = order.instance_id or order.step in ("instance", "key", "active")
        steps = [("Ordered", True, False), ("Paid", paid, order.status == "pending")]
        for at, name in enumerate(names):
            if name == "credits" or agent or order.status == "pending":
                done = order.status == "provisioned" or at < reached
                steps.append((_STEPS[name], done, at == reached and order.status == "paid"))
        with box("ol", "rm-steps").style("margin-top:8px"):
            for title, done, now in steps:
                with box("li") as item:
                    item.props["data-state"] = "done" if done else "now" if now else "open"
                    with box("span", "rm-steps__mark"):
                        icon("check")
                    Text("h3", title)

    def _draw_next(self, order: Order) -> None:
        with box("div", "rm-stack rm-stack--tight").style("margin-top:18px"):
            if order.error:
                Text("p", order.error, "rm-note rm-note--bad")
            if not self._org:
                self._draw_buying(order)
            if self._operates:
                self._draw_operating(order)

    def _draw_buying(self, order: Order) -> None:
        if order.status == "pending":
            self._draw_payment(order)
        if order.has_welcome_key:
            with box("div", "rm-note rm-note--brand"):
                Text("span", "Your new instance has a key. It can be shown once.", "rm-grow")
                Button("Show the key", self._reveal, small=True, testid="reveal-key")
        if order.status == "provisioned":
            if order.instance_id:
                link_button("Open your instance", instance_path(order.instance_id), testid="open-instance")
            else:
                link_button("See your wallet", "/account/wallet")

    def _draw_payment(self, order: Order) -> None:
        if order.provider == "dummy":
            Text("p", "Test payments move no money. Paying completes the order.", "rm-note")
            Button("Pay now (test)", lambda: self._act("pay"), testid="pay")
        elif order.provider == "manual":
            Text(
                "p",
                "Transfer the amount with the order's number as reference. The order goes on when the money "
                "was seen.",
                "rm-note",
            )
        else:
            Text(
                "p",
                "Waiting for the payment provider. If you left its page, order again to go back there.",
                "rm-note",
            )
        Button("Cancel the order", lambda: self._act("cancel"), look="ghost")

    def _draw_operating(self, order: Order) -> None:
        actions = {"pending": ("mark_paid", "Mark as paid"), "failed": ("retry", "Provision again")}
        if order.status in actions:
            verb, text = actions[order.status]
            Button(text, lambda: self._ask_note(verb, text), look="secondary", testid=verb)
        if order.status in ("paid", "provisioned") and order.returned_minor < order.amount_minor:
            Button("Refund in full", lambda: self._ask_note("refund", "Refund in full"), look="secondary")

    def _ask_note(self, verb: str, text: str) -> None:
        with dialog(text, "Your reason is kept in the audit log.") as asked:
            note = text_field("Reason", longest=200, testid="note")

            async def go() -> None:
                asked.close()
                await self._act(verb, note=str(note.value or "").strip() or text)

            with box("div", "rm-dialog__foot"):
                Button("Cancel", asked.close, look="secondary")
                Button(text, go, testid="confirm")
        asked.open()

    async def _act(self, verb: str, **body: object) -> None:
        if await attempt(calls.act(self._visitor, self._order_id, verb, **body)):
            await self._anew()

    async def _reveal(self) -> None:
        found: list[WelcomeKey] = []

        async def call() -> None:
            found.append(await calls.reveal_key(self._visitor, self._order_id))

        if not await attempt(call()):
            return
        with dialog(
            "Copy it now", "This is the only time it is shown. Keep it with your other secrets.", wide=True
        ) as shown:
            code_block(found[0].key, wrap=True, testid="new-key")
            with box("div", "rm-dialog__foot"):
                Button("I have copied it", shown.close)
        shown.open()
        await self._anew()

    def _draw_facts(self, order: Order) -> None:
        with box("section", "rm-card"):
            Text("h2", "Details")
            with box("dl", "rm-terms").style("margin-top:14px"):
                if self._org:
                    Text("dt", "Organisation")
                    Text("dd", self._org)
                amount = self._shown.money(order.amount_minor, order.currency)
                Text("dt", "Amount")
                Text("dd", f"{amount} {EVERY.get(order.every, order.every)}")
                if order.returned_minor:
                    Text("dt", "Returned")
                    Text("dd", self._shown.money(order.returned_minor, order.currency))
                Text("dt", "Paid with")
                Text("dd", METHODS.get(order.provider, order.provider))
                Text("dt", "Ordered")
                with box("dd"):
                    when(order.created_at_ms)
                Text("dt", "Changed")
                with box("dd"):
                    when(order.updated_at_ms)
