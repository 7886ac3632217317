"""What every tab of an instance is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from console.calls.instances import Instance
from console.formats import Locale
from console.services import Services
from console.session import locale
from console.visitor import Visitor

if TYPE_CHECKING:
    from console.pages.instance.chat import ChatDrawer


@dataclass
class InstanceContext:
    """The instance, who is looking at it, and the chat beside every tab."""

    services: Services
    visitor: Visitor
    instance: Instance
    chat: ChatDrawer | None = None

    def __post_init__(self) -> None:
        self.locale: Locale = locale()

    @property
    def instance_id(self) -> str:
        return self.instance.instance_id

    def path(self, tab: str) -> str:
        return instance_path(self.instance_id, tab)


def instance_path(instance_id: str, tab: str = "") -> str:
    """Return the address of an instance's page."""
    base = f"/account/instances/{quote(instance_id, safe='')}"
    return base if tab in ("", "overview") else f"{base}/{tab}"
