"""`/operate/letters`: records that a worker refused, and another chance for them."""

from __future__ import annotations

from functools import partial

from nicegui import ui

from console.api import ApiError
from console.calls import upkeep as calls
from console.calls.upkeep import Letter, LetterContent
from console.calls.upkeep import Letters as Found
from console.components import states
from console.components.button import Button
from console.components.dialog import confirmed, dialog
from console.components.fields import Segments, choice
from console.components.loaded import Loaded, toast
from console.components.status import StatusBadge, said
from console.components.table import Column, table
from console.components.text import Text, box, when
from console.pages.signed_in import heading
from console.session import locale
from console.visitor import Visitor

_EVERY = "All kinds"
_STATES = {"waiting": "Waiting", "all": "All"}


class Letters:
    """A list by kind; those that are ticked are replayed together."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._kind = _EVERY
        self._kinds: dict[str, tuple[str, str]] = {_EVERY: ("", "")}
        self._waiting = True
        self._ticked: set[str] = set()
        hint = "Records that a worker could not apply. Nothing is lost: mend the cause, then replay them."
        with heading("Dead letters", hint), box("div", "rm-row"):
            self._replay_button = Button("Replay selected", self._replay_ticked, testid="replay-selected")
            self._replay_button.allow(False)
        with box("div", "rm-filters").style("margin-bottom:16px"):
            self._choice = choice("Kind", [_EVERY], _EVERY, on_change=self._choose, testid="kind")
            Segments("Which", _STATES, "waiting", self._which)
        self._loaded = Loaded(self._load, self._draw, "dead letters", count=6, every_s=10)

    async def _load(self) -> Found:
        topic, reason = self._kinds.get(self._kind, ("", ""))
        return await calls.letters(self._visitor, topic, reason, waiting=self._waiting)

    async def _choose(self, event: object) -> None:
        self._kind = str(getattr(event, "value", None) or _EVERY)
        await self._anew()

    async def _which(self, which: str) -> None:
        self._waiting = which == "waiting"
        await self._anew()

    async def _anew(self) -> None:
        self._ticked.clear()
        self._replay_button.allow(False)
        await self._loaded.refresh()

    def _draw(self, found: Found) -> None:
        self._offer_kinds(found)
        with box("section", "rm-card"):
            if not found.letters:
                states.empty(
                    "Nothing waits" if self._waiting else "No dead letters",
                    "Every record that workers read could be applied, or was replayed.",
                    symbol="mark_email_read",
                )
                return
            table(
                found.letters,
                [
                    Column("", self._tick),
                    Column("Refused", lambda one: when(one.recorded_at_ms)),
                    Column("Topic", lambda one: Text("span", one.topic, "rm-mono"), "rm-wide"),
                    Column("Where", lambda one: f"{one.partition} / {one.offset}", "rm-number rm-wide"),
                    Column("Why", lambda one: said(one.reason)),
                    Column("Bytes", lambda one: locale().integer(one.size_bytes), "rm-number rm-wide"),
                    Column("Status", lambda one: StatusBadge("replayed" if one.replays else "waiting")),
                    Column("", self._actions),
                ],
                "Dead letters",
                testid="letter",
                stacked=True,
            )
            if found.next_cursor:
                Button("Show more", partial(self._more, found), look="secondary", small=True).classes(
                    "rm-more"
                )

    def _offer_kinds(self, found: Found) -> None:
        known = {
            f"{one.topic}: {said(one.reason).lower()} ({one.letters})": (one.topic, one.reason)
            for one in found.reasons
        }
        if self._kinds.keys() - {_EVERY} != known.keys():
            self._kinds = {_EVERY: ("", ""), **known}
            kept = self._kind if self._kind in self._kinds else _EVERY
            self._choice.set_options(list(self._kinds), value=kept)

    def _tick(self, one: Letter) -> None:
        def ticked(event: object) -> None:
            self._ticked = self._ticked ^ {one.letter_id}
            self._replay_button.allow(bool(self._ticked))

        field = ui.checkbox(value=one.letter_id in self._ticked, on_change=ticked).props("dense")
        field.props["aria-label"] = f"Select {one.letter_id}"

    def _actions(self, one: Letter) -> None:
        with box("div", "rm-table__actions"):
            Button(
                "Open",
                partial(self._open, one.letter_id),
                look="ghost",
                small=True,
                label=f"Open {one.letter_id}",
            )

    async def _more(self, found: Found) -> None:
        topic, reason = self._kinds.get(self._kind, ("", ""))
        try:
            older = await calls.letters(
                self._visitor, topic, reason, waiting=self._waiting, cursor=found.next_cursor
            )
        except ApiError as error:
            toast(error.detail, bad=True)
            return
        self._loaded.show(Found((*found.letters, *older.letters), found.reasons, older.next_cursor))

    async def _open(self, letter_id: str) -> None:
        try:
            letter = await calls.letter(self._visitor, letter_id)
        except ApiError as error:
            toast(error.detail, bad=True)
            return
        with dialog("Dead letter", letter.detail, wide=True) as shown:
            _facts(letter)
            with box("div", "rm-code rm-code--wrap"), box("pre", testid="content"):
                Text("code", letter.content or "It has no bytes, or more than are kept here.")
            if letter.cut:
                Text("p", "This is the beginning only; all of it stands in the log.", "rm-muted rm-small")

            async def again() -> None:
                shown.close()
                await self._replay([letter_id], again=bool(letter.replays))

            with box("div", "rm-dialog__foot"):
                Button("Close", shown.close, look="secondary")
                Button("Replay again" if letter.replays else "Replay", again, testid="replay")
        shown.open()

    async def _replay_ticked(self) -> None:
        ids = sorted(self._ticked)[:100]
        what = "Their original bytes are published once more. What is still poison comes back here."
        if ids and await confirmed(f"Replay {len(ids)} records?", what, "Replay", danger=False):
            await self._replay(ids)

    async def _replay(self, ids: list[str], *, again: bool = False) -> None:
        try:
            done = await calls.replay(self._visitor, ids, again=again)
        except ApiError as error:
            toast(error.detail, bad=True)
            return
        left = f" {len(done.left_out)} left out: {done.left_out[0].why}" if done.left_out else ""
        toast(f"{len(done.replayed)} replayed.{left}", bad=not done.replayed)
        await self._anew()


def _facts(letter: LetterContent) -> None:
    with box("dl", "rm-terms"):
        for name, value in (
            ("Topic", letter.topic),
            ("Partition / offset", f"{letter.partition} / {letter.offset}"),
            ("Reason", letter.reason),
            ("Organisation", letter.org_id or "its key names none"),
            ("Refused by", letter.worker),
            ("Size", f"{locale().integer(letter.size_bytes)} bytes, shown as {letter.encoding}"),
            ("Replayed", f"{letter.replays} times, last by {letter.replayed_by}" if letter.replays else "no"),
        ):
            Text("dt", name)
            Text("dd", value)
