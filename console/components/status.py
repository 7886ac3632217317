"""An instance's status as a word with a colour; the word alone says it all."""

from __future__ import annotations

from console.components.text import Text
from console.models import InstanceStatus

_TONES: dict[InstanceStatus, str] = {
    "active": "good",
    "provisioning": "warn",
    "suspended": "bad",
    "ended": "muted",
}


class StatusBadge(Text):
    """Draws a status and follows it."""

    def __init__(self, status: InstanceStatus) -> None:
        super().__init__("span", classes="rm-badge", testid="status")
        self.show(status)

    def show(self, status: InstanceStatus) -> None:
        self.text = status.capitalize()
        self.classes(
            remove=" ".join(f"rm-badge--{tone}" for tone in _TONES.values()),
            add=f"rm-badge--{_TONES[status]}",
        )
