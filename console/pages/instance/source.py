"""One source: what was read of it, what could not be, and how often it is read again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from console.calls import knowledge as calls
from console.calls.knowledge import Piece, PiecePage, Source
from console.components.button import Button
from console.components.dialog import dialog
from console.components.fields import choice
from console.components.loaded import attempt
from console.components.text import Text, box
from console.pages.instance.context import InstanceContext

#: Hours between two readings, by what a buyer calls them.
EVERY = {"0": "Only when I ask", "24": "Every day", "168": "Every week", "720": "Every 30 days"}
_AT_ONCE = 10


def every(hours: int = 0) -> dict[str, str]:
    """Return the choices, with the one that somebody set through the API."""
    return EVERY if str(hours) in EVERY else {**EVERY, str(hours): f"Every {hours} hours"}


class Inside:
    """A dialog that shows a source. `changed` is awaited when it was changed."""

    def __init__(
        self, context: InstanceContext, source: Source, changed: Callable[[], Awaitable[None]]
    ) -> None:
        self._context = context
        self._source = source
        self._changed = changed

    async def open(self) -> None:
        source = self._source
        hint = "What was read, piece by piece. An answer quotes these."
        with dialog(source.title or source.url or source.source_id, hint, wide=True) as shown:
            if source.kind in ("url", "site"):
                self._draw_schedule()
            if source.page_errors:
                self._draw_errors()
            self._pieces = box("div", "rm-stack rm-stack--tight", testid="pieces")
            with box("div", "rm-dialog__foot"):
                self._more = Button("Show more", self._read, look="secondary")
                Button("Close", shown.close, look="secondary")
        self._shown = 0
        shown.open()
        await self._read()

    def _draw_schedule(self) -> None:
        async def change(event: object) -> None:
            hours = int(getattr(event, "value", 0))
            context = self._context
            work = calls.schedule(context.visitor, context.instance_id, self._source.source_id, hours)
            if await attempt(work, "Changed."):
                await self._changed()

        hours = self._source.resync_hours
        choice("Read it again", every(hours), str(hours), on_change=change, testid="resync")

    def _draw_errors(self) -> None:
        with ui.expansion(f"{len(self._source.page_errors)} pages could not be read").classes("rm-muted"):
            for error in self._source.page_errors:
                Text("p", error, "rm-small").style("overflow-wrap:anywhere")

    async def _read(self) -> None:
        found: list[PiecePage] = []

        async def call() -> None:
            context, source = self._context, self._source
            found.append(
                await calls.pieces(
                    context.visitor, context.instance_id, source.source_id, self._shown, _AT_ONCE
                )
            )

        if not await attempt(call()):
            return
        [page] = found
        with self._pieces:
            if not page.total:
                Text("p", "Nothing of it can be read yet.", "rm-muted")
            for piece in page.chunks:
                _draw_piece(piece)
        self._shown += len(page.chunks)
        self._more.set_visibility(self._shown < page.total and bool(page.chunks))


def _draw_piece(piece: Piece) -> None:
    where = (piece.section, f"page {piece.page}" if piece.page else "")
    with box("article", "rm-note"), box("div"):
        Text("h3", " · ".join(part for part in where if part) or f"Piece {piece.ordinal + 1}")
        Text("p", piece.text, "rm-small").style("white-space:pre-wrap;overflow-wrap:anywhere")
