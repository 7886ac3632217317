"""A list that grows: its first page, and one more at each "Show more"."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from console.calls.paging import MOST_PAGES, Page, all_pages
from console.components.button import Button
from console.components.loaded import Loaded
from console.components.text import Text


class Paged(Loaded[tuple[Page, ...]]):
    """Reads the pages of a list with `read`, by their cursors, and draws those shown with `draw`.

    What is shown stays so when it is read again. `what` names the rows in the plural, as for `Loaded`.
    """

    def __init__(
        self,
        read: Callable[[str | None], Awaitable[Page]],
        draw: Callable[[tuple[Page, ...]], None],
        what: str,
        *,
        count: int = 4,
        every_s: float = 0,
    ) -> None:
        self._read = read
        self._draw_rows = draw
        self._pages = 1
        super().__init__(self._load_pages, self._draw_pages, what, count=count, every_s=every_s)

    async def anew(self) -> None:
        """Begin at the first page: another list is asked for."""
        self._pages = 1
        await self.refresh()

    async def _load_pages(self) -> tuple[Page, ...]:
        return await all_pages(self._read, self._pages)

    def _draw_pages(self, pages: tuple[Page, ...]) -> None:
        self._draw_rows(pages)
        if pages[-1].next_cursor is None:
            return
        if len(pages) < MOST_PAGES:
            Button("Show more", self._show_more, look="secondary", small=True).classes("rm-more")
        else:
            Text("p", "Older ones are not shown.", "rm-muted rm-small")

    async def _show_more(self) -> None:
        self._pages += 1
        await self.refresh()
