"""Conversations: what visitors asked, and what they disliked; each opens with its transcript."""

from __future__ import annotations

from console.calls import conversations as calls
from console.calls.conversations import Conversation, ConversationPage
from console.components import states
from console.components.button import Button
from console.components.dialog import confirmed
from console.components.fields import Segments
from console.components.icon import icon
from console.components.loaded import attempt
from console.components.paged import Paged
from console.components.table import Column, table
from console.components.text import Text, box, when
from console.pages.instance.context import InstanceContext
from console.pages.instance.transcript import TranscriptDialog
from console.pages.signed_in import card_head

_RATINGS = {"": "All", "down": "Disliked", "up": "Liked"}
_THUMBS = (("thumbs_up", "thumb_up", "liked"), ("thumbs_down", "thumb_down", "disliked"))


def draw(context: InstanceContext) -> None:
    _Conversations(context)


class _Conversations:
    """The latest conversations that the filter lets through, earlier ones on request."""

    def __init__(self, context: InstanceContext) -> None:
        self._context = context
        with box("section", "rm-card", testid="conversations"):
            with card_head("Conversations", "The latest first. What was said is deleted by itself, in time."):
                self._rating = Segments("Rating", _RATINGS, "", self._choose)
            self._loaded = Paged(self._read, self._draw, "conversations", count=6)

    async def _choose(self, _: str) -> None:
        await self._loaded.anew()

    async def _read(self, cursor: str | None) -> ConversationPage:
        context = self._context
        return await calls.conversations(context.visitor, context.instance_id, cursor, self._rating.value)

    def _draw(self, pages: tuple[ConversationPage, ...]) -> None:
        found = [one for page in pages for one in page.conversations]
        if not found:
            self._draw_none(pages[0].retention_days)
            return
        table(
            found,
            [
                Column("Question", lambda one: one.title or "Without words", "rm-wrap"),
                Column("When", lambda one: when(one.last_at_ms)),
                Column("Channel", lambda one: one.channel),
                Column("Turns", lambda one: self._context.locale.integer(one.turns), "rm-number"),
                Column("Rated", self._thumbs),
                Column("", self._actions),
            ],
            "Conversations",
            testid="conversation",
            stacked=True,
        )

    def _draw_none(self, retention_days: int) -> None:
        if not retention_days:
            title, hint = "None are kept", "Whoever runs this server has it keep no transcripts."
        elif self._rating.value:
            title = f"None was {_RATINGS[self._rating.value].lower()}"
            hint = "Visitors rate answers with the thumbs below them."
        else:
            title = "No conversations yet"
            hint = f"They appear seconds after they were held, and are kept for {retention_days} days."
        states.empty(title, hint, symbol="forum", testid="no-conversations")

    def _thumbs(self, one: Conversation) -> None:
        with box("div", "rm-row"):
            for field, symbol, word in _THUMBS:
                if count := getattr(one, field):
                    icon(symbol)
                    Text("span", f"{count} {word}", "rm-small", testid=field.replace("_", "-"))
            if not one.thumbs_up and not one.thumbs_down:
                Text("span", "\u2013", "rm-muted")

    def _actions(self, one: Conversation) -> None:
        about = one.title or "the conversation"
        with box("div", "rm-table__actions"):
            opened = TranscriptDialog(self._context, one)
            Button("Read", opened.open, look="ghost", small=True, label=f"Read: {about}")
            Button("Delete", lambda: self._delete(one), look="ghost", small=True, label=f"Delete: {about}")

    async def _delete(self, one: Conversation) -> None:
        what = "What was said is deleted, and the agent forgets it. It cannot be brought back."
        if await confirmed("Delete this conversation?", what, "Delete"):
            context = self._context
            work = calls.delete(context.visitor, context.instance_id, one.conversation_id)
            if await attempt(work, "Deleted."):
                await self._loaded.refresh()
