"""Channels: the chat widget for pages, and the keys of code and MCP clients."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import quote

from nicegui import ui

from console import gateway, session_keys
from console.calls import keys as calls
from console.calls.keys import Key, ShownKey
from console.components import states
from console.components.button import Button
from console.components.code import code_block
from console.components.dialog import confirmed, dialog
from console.components.fields import choice, text_field
from console.components.loaded import Loaded, attempt
from console.components.status import StatusBadge
from console.components.table import Column, table
from console.components.text import Text, box, when
from console.pages.instance import snippets
from console.pages.instance.context import InstanceContext
from console.pages.instance.origins import ORIGINS_HINT, Origins, given
from console.pages.signed_in import card_head

_KINDS = {"secret": "API key", "mcp": "MCP key", "widget": "Widget key"}
_GRACES = {0: "At once", 3_600: "For an hour", 86_400: "For a day", 604_800: "For a week"}
_LIVES = {0: "Never", 30: "In 30 days", 90: "In 90 days", 365: "In a year"}
_DAY_MS = 86_400_000
#: Where a session keeps the widget keys it was shown, by instance.
WIDGET_KEYS = "widget_keys"


def draw(context: InstanceContext) -> None:
    _Channels(context)


class _Channels:
    """Both cards are drawn from one list of keys."""

    def __init__(self, context: InstanceContext) -> None:
        self._context = context
        self._loaded = Loaded(self._load, self._draw, "channels", count=6)

    async def _load(self) -> tuple[Key, ...]:
        return await calls.keys(self._context.visitor, self._context.instance_id)

    def _draw(self, found: tuple[Key, ...]) -> None:
        widgets = [key for key in found if key.kind == "widget" and key.status == "active"]
        widgets = [key for key in widgets if key.name != session_keys.PREVIEW]
        # Every session of the console leaves keys behind that are over: they would bury the others.
        others = [
            key
            for key in found
            if key not in widgets and (key.status == "active" or key.name not in session_keys.NAMES)
        ]
        with box("div", "rm-stack"):
            self._draw_widgets(widgets)
            self._draw_keys(others)

    # --- the widget ---------------------------------------------------------------------------------------

    def _draw_widgets(self, widgets: list[Key]) -> None:
        with box("section", "rm-card", testid="widget"):
            with card_head("Chat widget", "A chat in the corner of your own pages."):
                Button(
                    "Add widget",
                    self._ask_for_widget,
                    look="secondary" if widgets else "primary",
                    symbol="add",
                    testid="add-widget",
                )
            if not widgets:
                states.empty(
                    "No widget yet",
                    "Add one with the addresses of the pages it may open on, and paste its snippet there.",
                    symbol="chat_bubble",
                    testid="no-widget",
                )
            with box("div", "rm-stack"):
                for key in widgets:
                    self._draw_widget(key)
                self._draw_preview()

    def _draw_widget(self, key: Key) -> None:
        with box("div", "rm-stack rm-stack--tight", testid="widget-key"):
            with box("div", "rm-row rm-row--between"):
                with box("div", "rm-row"):
                    Text("h3", key.name)
                    if key.last_used_at_ms:
                        with box("span", "rm-muted rm-small"):
                            Text("span", "Last opened ")
                            when(key.last_used_at_ms, "ago")
                    else:
                        Text("span", "Not opened yet", "rm-muted rm-small")
                with box("div", "rm-row"):
                    Button("Rotate", lambda: self._rotate(key), look="secondary", small=True)
                    Button("Revoke", lambda: self._revoke(key), look="ghost", small=True)
            Origins(self._context, key, self._loaded.refresh)
            kept = dict(self._context.visitor.storage.get(WIDGET_KEYS) or {}).get(
                self._context.instance_id, ""
            )
            if kept.startswith(key.prefix):
                code_block(snippets.widget(self._context.services.gateway_url, kept), wrap=True)
                return
            Text(
                "p",
                f"Its snippet was shown when it was made; its key begins with {key.prefix}. "
                "Rotate it to get a new one.",
                "rm-muted rm-small",
            )

    def _draw_preview(self) -> None:
        place = box("div")
        with place:
            Text("p", "Checking the gateway's widget…", "rm-muted rm-small")

        async def check() -> None:
            url = self._context.services.gateway_url
            there = await gateway.serves(url, snippets.WIDGET_SCRIPT)
            place.clear()
            with place:
                if not there:
                    with box("div", "rm-note rm-note--warn", testid="no-widget-script"):
                        Text(
                            "span",
                            f"The gateway at {url} serves no widget script, so it cannot be previewed.",
                        )
                    return
                self._draw_frame()

        ui.timer(0, check, once=True)

    def _draw_frame(self) -> None:
        """Draw the widget at work, once asked: it gets a key of this session, and its runs are real."""
        context = self._context

        @ui.refreshable
        def frame() -> None:
            if session_keys.kept(context.visitor, context.instance_id, session_keys.PREVIEW):
                drawn = box("iframe", "rm-frame", testid="widget-frame")
                drawn.props["title"] = "Preview of the chat widget"
                where = f"/preview/widget/{quote(context.instance_id, safe='')}"
                drawn.props["src"] = f"{where}?org={quote(context.visitor.org_id, safe='')}"
                return
            Button("Show it", show, look="secondary", symbol="visibility", testid="show-preview")

        async def show() -> None:
            url = ui.context.client.request.url
            origin = f"{url.scheme}://{url.netloc}"
            if not await attempt(session_keys.preview_key(context.visitor, context.instance_id, origin)):
                return
            key = session_keys.kept(context.visitor, context.instance_id, session_keys.PREVIEW)
            # A widget that asks a gateway before it knows the key takes the no for good.
            for pause_s in gateway.PAUSES_S:
                await asyncio.sleep(pause_s)
                if await gateway.opens(context.services.gateway_url, key, origin):
                    break
            frame.refresh()

        Text("h3", "Preview")
        Text("p", "The widget on a page of this console. Runs are real.", "rm-muted rm-small")
        frame()

    def _ask_for_widget(self) -> None:
        with dialog("Add a widget", "It opens only on pages of these addresses.") as asked:
            name = text_field("Name", "Website", longest=100, testid="widget-name")
            origins = text_field(
                "Allowed origins",
                hint=ORIGINS_HINT,
                lines=3,
                longest=4000,
                placeholder="https://shop.example.com",
                testid="widget-origins",
            )

            async def add() -> None:
                pages = given(origins.value)
                await self._create(asked, "widget", str(name.value or "").strip() or "Website", pages, 0)

            with box("div", "rm-dialog__foot"):
                Button("Cancel", asked.close, look="secondary")
                Button("Add widget", add, testid="widget-create")
        asked.open()

    # --- keys ---------------------------------------------------------------------------------------------

    def _draw_keys(self, found: list[Key]) -> None:
        with box("section", "rm-card", testid="keys"):
            with card_head("API & MCP keys", "What your code and your MCP clients open this instance with."):
                Button("Create key", self._ask_for_key, symbol="add", testid="create-key")
            if not found:
                states.empty(
                    "No keys yet",
                    "Create one to call this instance from your own code.",
                    symbol="key",
                    testid="no-keys",
                )
                return
            columns: list[Column[Key]] = [
                Column("Name", lambda key: key.name),
                Column("Kind", lambda key: _KINDS.get(key.kind, key.kind), "rm-wide"),
                Column("Key", lambda key: Text("span", f"{key.prefix}…", "rm-mono"), "rm-wide"),
                Column("Status", lambda key: StatusBadge(key.status)),
                Column(
                    "Last used",
                    lambda key: when(key.last_used_at_ms, "ago") if key.last_used_at_ms else "Not yet",
                ),
                Column(
                    "Expires",
                    lambda key: when(key.expires_at_ms, "date") if key.expires_at_ms else "Never",
                    "rm-wide",
                ),
                Column("", self._actions),
            ]
            table(found, columns, "Keys", testid="key", stacked=True)

    def _actions(self, key: Key) -> None:
        if key.status != "active":
            return
        with box("div", "rm-table__actions"):
            Button("Rotate", lambda: self._rotate(key), look="ghost", small=True, label=f"Rotate {key.name}")
            Button("Revoke", lambda: self._revoke(key), look="ghost", small=True, label=f"Revoke {key.name}")

    def _ask_for_key(self) -> None:
        with dialog("Create a key", "It is shown once, right after it was made.") as asked:
            name = text_field("Name", longest=100, placeholder="Backend", testid="key-name")
            kind = choice(
                "Kind",
                {"secret": "API key – for your server", "mcp": "MCP key – for assistants and editors"},  # noqa: RUF001
                "secret",
            )
            lives = choice("Expires", {str(days): text for days, text in _LIVES.items()}, "0")

            async def create() -> None:
                days = int(lives.value)
                ends = _now_ms() + days * _DAY_MS if days else 0
                await self._create(asked, str(kind.value), str(name.value or "").strip() or "Key", (), ends)

            with box("div", "rm-dialog__foot"):
                Button("Cancel", asked.close, look="secondary")
                Button("Create key", create, testid="key-create")
        asked.open()

    async def _create(
        self, asked: ui.dialog, kind: str, name: str, origins: tuple[str, ...], ends_ms: int
    ) -> None:
        made: list[ShownKey] = []

        async def call() -> None:
            made.append(
                await calls.create(
                    self._context.visitor,
                    self._context.instance_id,
                    kind=kind,
                    name=name,
                    origins=origins,
                    expires_at_ms=ends_ms,
                )
            )

        if await attempt(call()):
            asked.close()
            self._show(made[0])
            await self._loaded.refresh()

    def _show(self, made: ShownKey) -> None:
        with dialog(
            "Copy it now", "This is the only time it is shown. Keep it with your other secrets.", wide=True
        ) as shown:
            if made.kind == "widget":
                # No secret: it stands in the page. The preview needs it, and nobody shows it again.
                kept = dict(self._context.visitor.storage.get(WIDGET_KEYS) or {})
                self._context.visitor.storage[WIDGET_KEYS] = {**kept, self._context.instance_id: made.key}
                code_block(
                    snippets.widget(self._context.services.gateway_url, made.key), wrap=True, testid="snippet"
                )
                Text(
                    "p",
                    "Paste it before </body> of every page that the widget shall open on.",
                    "rm-muted rm-small",
                )
            else:
                code_block(made.key, wrap=True, testid="new-key")
            with box("div", "rm-dialog__foot"):
                Button("I have copied it", shown.close, testid="copied")
        shown.open()

    async def _rotate(self, key: Key) -> None:
        with dialog(
            f"Rotate {key.name}?", "You get a new key. The old one goes on working for a while."
        ) as asked:
            grace = choice("The old key works", {str(s): text for s, text in _GRACES.items()}, "86400")

            async def rotate() -> None:
                made: list[ShownKey] = []

                async def call() -> None:
                    context = self._context
                    made.append(
                        await calls.rotate(context.visitor, context.instance_id, key.key_id, int(grace.value))
                    )

                if await attempt(call()):
                    asked.close()
                    self._show(made[0])
                    await self._loaded.refresh()

            with box("div", "rm-dialog__foot"):
                Button("Cancel", asked.close, look="secondary")
                Button("Rotate", rotate, testid="confirm")
        asked.open()

    async def _revoke(self, key: Key) -> None:
        what = "It stops at once, everywhere, and cannot be brought back."
        if await confirmed(f"Revoke {key.name}?", what, "Revoke"):
            context = self._context
            if await attempt(
                calls.revoke(context.visitor, context.instance_id, key.key_id), f"{key.name} is revoked."
            ):
                await self._loaded.refresh()


def _now_ms() -> int:
    return int(time.time() * 1000)
