"""Lists that the API gives page by page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

#: Of one list; what lies beyond is found by its filters, or through the API.
MOST_PAGES = 20
_PAGE = 100


class _Page(Protocol):
    @property
    def next_cursor(self) -> str | None: ...


Page = TypeVar("Page", bound=_Page)


def paged(cursor: str | None, limit: int = _PAGE) -> dict[str, str]:
    """Return what asks for the page at a cursor; the first one without."""
    return {"limit": str(limit), **({"cursor": cursor} if cursor else {})}


async def all_pages(
    read: Callable[[str | None], Awaitable[Page]], most: int = MOST_PAGES
) -> tuple[Page, ...]:
    """Return the pages of a list to its end, or so many of them; one at least."""
    pages = [await read(None)]
    while (cursor := pages[-1].next_cursor) and len(pages) < most:
        pages.append(await read(cursor))
    return tuple(pages)
