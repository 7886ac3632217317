"""What was said in one conversation, what each answer rests on, and what was thought of it."""

from __future__ import annotations

from console.calls import conversations as calls
from console.calls.conversations import Citation, Conversation, Feedback, Transcript, Turn
from console.components.button import Button
from console.components.dialog import dialog
from console.components.icon import icon
from console.components.loaded import Loaded
from console.components.runs_table import run_path
from console.components.status import StatusBadge
from console.components.text import Text, box, link, when
from console.pages.instance.context import InstanceContext

_RATED = {"up": ("thumb_up", "Liked"), "down": ("thumb_down", "Disliked")}


class TranscriptDialog:
    """A dialog that shows a conversation."""

    def __init__(self, context: InstanceContext, about: Conversation) -> None:
        self._context = context
        self._about = about

    def open(self) -> None:
        with dialog("Conversation", self._about.title, wide=True) as shown:
            with box("p", "rm-muted rm-small"):
                Text("span", f"{self._about.channel} · deleted by itself ")
                when(self._about.expires_at_ms, "date")
            Loaded(self._load, self._draw, "what was said", count=4)
            with box("div", "rm-dialog__foot"):
                Button("Close", shown.close, look="secondary")
        shown.open()

    async def _load(self) -> Transcript:
        context = self._context
        return await calls.transcript(context.visitor, context.instance_id, self._about.conversation_id)

    def _draw(self, found: Transcript) -> None:
        with box("div", "rm-stack rm-stack--tight", testid="transcript"):
            for turn in found.transcript:
                self._draw_turn(turn)
            if len(found.transcript) < found.turns:
                Text("p", "Later turns are not shown.", "rm-muted rm-small")

    def _draw_turn(self, turn: Turn) -> None:
        with box("article", "rm-stack rm-stack--tight", testid="turn"):
            with box("div", "rm-row rm-small"):
                when(turn.started_at_ms, classes="rm-muted")
                if turn.status != "completed":
                    StatusBadge(turn.status)
                link("See the run", run_path(self._context.instance_id, turn.run_id))
            _draw_words("Visitor", turn.question, "rm-note rm-note--brand")
            _draw_words("Agent", turn.answer, "rm-note")
            if turn.citations:
                sources = "; ".join(_cited(citation) for citation in turn.citations)
                Text("p", f"Rests on: {sources}", "rm-muted rm-small", testid="citations")
            if turn.feedback is not None:
                _draw_feedback(turn.feedback)


def _draw_words(who: str, words: str, classes: str) -> None:
    with box("div", classes), box("div"):
        Text("h3", who)
        Text("p", words or "Nothing", "" if words else "rm-muted").style(
            "white-space:pre-wrap;overflow-wrap:anywhere"
        )


def _draw_feedback(feedback: Feedback) -> None:
    tone = "good" if feedback.rating == "up" else "bad"
    symbol, word = _RATED[feedback.rating]
    with box("div", f"rm-note rm-note--{tone}", testid="feedback"):
        icon(symbol)
        Text("strong", word)
        if feedback.comment:
            Text("span", feedback.comment).style("white-space:pre-wrap;overflow-wrap:anywhere")


def _cited(source: Citation) -> str:
    parts = (source.title or source.source_id, source.section, f"page {source.page}" if source.page else "")
    return ", ".join(part for part in parts if part)
