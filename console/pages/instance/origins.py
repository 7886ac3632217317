"""Where a widget's key opens: the pages it names, those that tried in vain, and letting them in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from console.calls import keys as calls
from console.calls.keys import BlockedOrigin, Key
from console.components.button import Button
from console.components.dialog import dialog
from console.components.fields import text_field
from console.components.loaded import Loaded, attempt
from console.components.text import Text, box
from console.pages.instance.context import InstanceContext

ORIGINS_HINT = "One per line, such as https://shop.example.com. http is for localhost only."
#: Of those that were refused, the most frequent.
_SHOWN = 10


class Origins:
    """The allowed and the blocked origins of a widget's key. `changed` is awaited when they were changed."""

    def __init__(self, context: InstanceContext, key: Key, changed: Callable[[], Awaitable[None]]) -> None:
        self._context = context
        self._key = key
        self._changed = changed
        with box("div", "rm-row"):
            with box("p", "rm-small"):
                Text("span", "Opens on ", "rm-muted")
                Text("span", ", ".join(key.allowed_origins), "rm-mono", testid="origins")
            Button("Edit origins", self._ask, look="ghost", small=True, label=f"Edit origins of {key.name}")
        Loaded(self._load, self._draw, "pages that were refused", count=1)

    async def _load(self) -> tuple[BlockedOrigin, ...]:
        context = self._context
        found = await calls.blocked_origins(context.visitor, context.instance_id, self._key.key_id)
        return tuple(one for one in found if one.origin not in self._key.allowed_origins)[:_SHOWN]

    def _draw(self, blocked: tuple[BlockedOrigin, ...]) -> None:
        if not blocked:
            return
        with box("div", "rm-note rm-note--warn", testid="blocked"), box("div", "rm-stack rm-stack--tight"):
            Text("strong", "Blocked in the last seven days")
            with box("ul", "rm-stack rm-stack--tight"):
                for one in blocked:
                    with box("li", "rm-row", testid="blocked-origin"):
                        self._draw_one(one)

    def _draw_one(self, one: BlockedOrigin) -> None:
        tries = f"{self._context.locale.integer(one.tries)} {'try' if one.tries == 1 else 'tries'}"
        # Pages beyond those that are told apart are counted together, and have no address to allow.
        named = "://" in one.origin
        Text("span", one.origin if named else "Other pages", "rm-mono rm-small")
        Text("span", tries, "rm-small")
        if named:
            allowed = (*self._key.allowed_origins, one.origin)
            Button(
                "Allow",
                lambda: self._allow(allowed),
                look="secondary",
                small=True,
                label=f"Allow {one.origin}",
            )

    def _ask(self) -> None:
        with dialog(
            f"Edit origins of {self._key.name}", "It opens only on pages of these addresses."
        ) as asked:
            origins = text_field(
                "Allowed origins",
                "\n".join(self._key.allowed_origins),
                hint=ORIGINS_HINT,
                lines=3,
                longest=4000,
            )

            async def save() -> None:
                if await self._allow(given(origins.value)):
                    asked.close()

            with box("div", "rm-dialog__foot"):
                Button("Cancel", asked.close, look="secondary")
                Button("Save origins", save, testid="save-origins")
        asked.open()

    async def _allow(self, origins: tuple[str, ...]) -> bool:
        context = self._context
        work = calls.allow_origins(context.visitor, context.instance_id, self._key.key_id, origins)
        if not await attempt(work, "Origins saved. Gateways follow at once."):
            return False
        await self._changed()
        return True


def given(text: object) -> tuple[str, ...]:
    """Return the origins that somebody typed, one per line or with commas."""
    return tuple(str(text or "").replace(",", " ").split())
