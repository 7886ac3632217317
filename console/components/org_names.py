"""How organisations are called, where an operator sees those of all."""

from __future__ import annotations

from collections.abc import Iterable

from console.calls import operating
from console.components.short_id import short_id
from console.components.text import Text
from console.visitor import Visitor


class OrgNames:
    """Names by id. All are asked for together, and again only when one is not known."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._known: dict[str, str] = {}

    async def learn(self, org_ids: Iterable[str]) -> None:
        """Make sure of these, as far as anybody knows them. Raises `ApiError`."""
        if not self._known.keys() >= set(org_ids):
            self._known = await operating.org_names(self._visitor)

    def draw(self, org_id: str) -> None:
        """Draw an org's name, or its id while nobody says it."""
        if org_id in self._known:
            Text("span", self._known[org_id])
        else:
            short_id(org_id)
