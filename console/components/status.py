"""A status as a word with a colour; the word alone says it all."""

from __future__ import annotations

from console.components.text import Text

_TONES = {
    "good": (
        "active",
        "provisioned",
        "ready",
        "completed",
        "paid",
        "delivered",
        "connected",
        "applied",
        "exact",
        "up_to_date",
        "in_force",
        "sent",
        "well",
    ),
    "warn": (
        "provisioning",
        "pending",
        "queued",
        "past_due",
        "paused",
        "processing",
        "fetching",
        "parsing",
        "chunking",
        "embedding",
        "indexing",
        "cancelled",
        "deleting",
        "early",
        "overdue",
        "unsettled",
        "catching_up",
        "unassigned",
        "waiting",
    ),
    "bad": (
        "suspended",
        "failed",
        "limit_exceeded",
        "lost",
        "revoked",
        "error",
        "refused",
        "dead",
        "different",
        "nobody",
        "voided",
    ),
    "brand": ("started", "running", "to_come"),
}
_TONE_OF = {word: tone for tone, words in _TONES.items() for word in words}
_WORDS = {
    "started": "Running",
    "limit_exceeded": "Limit reached",
    "past_due": "Payment missing",
    "nobody": "Nobody reads",
    "dead": "Given up",
    "well": "All is well",
}


def tone_of(status: str) -> str:
    """Return the tone of a status: `good`, `warn`, `bad`, `brand` or `muted`."""
    return _TONE_OF.get(status, "muted")


def said(status: str) -> str:
    """Return a status as people say it."""
    return _WORDS.get(status, status.replace("_", " ").capitalize())


class StatusBadge(Text):
    """Draws a status and follows it."""

    def __init__(self, status: str, testid: str = "status") -> None:
        super().__init__("span", classes="rm-badge", testid=testid)
        self.show(status)

    def show(self, status: str) -> None:
        self.text = said(status)
        self.classes(
            remove=" ".join(f"rm-badge--{tone}" for tone in (*_TONES, "muted")),
            add=f"rm-badge--{tone_of(status)}",
        )
