"""What a buyer writes for an instance to know: a text, or questions and answers; added once, edited later."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from console.api import Stale
from console.calls import knowledge as calls
from console.calls.knowledge import Pair, Source, Written
from console.components.button import Button
from console.components.dialog import dialog
from console.components.fields import text_field
from console.components.loaded import attempt
from console.components.text import box
from console.pages.instance.context import InstanceContext

#: Kinds of sources that can be edited.
WRITTEN = ("text", "qa")
_MAX_PAIRS = 500
_MAX_TEXT = 400_000
_MAX_TITLE = 200
_NEW_PAIR = Pair("", "")


class TextForm:
    """A title and a text."""

    def __init__(self, written: Written | None = None) -> None:
        before = written or Written("")
        self._title = text_field("Title", before.title, placeholder="Opening hours", testid="text-title")
        self._text = text_field(
            "Text",
            before.text,
            lines=6,
            longest=_MAX_TEXT,
            hint="Plain text or Markdown.",
            testid="text-body",
        )

    def written(self) -> Written:
        return Written(str(self._title.value or "").strip(), text=str(self._text.value or ""))


class PairsForm:
    """Questions with their answers. One that is left empty is left out."""

    def __init__(self, written: Written | None = None) -> None:
        # A title that was only its first question follows that question.
        named = written is not None and written.title != written.pairs[0].question[:_MAX_TITLE]
        self._title = written.title if written and named else ""
        self._fields: dict[int, tuple[ui.input | ui.textarea, ui.input | ui.textarea]] = {}
        self._made = 0
        self._box = box("div", "rm-form", testid="pairs")
        for pair in written.pairs if written else (_NEW_PAIR,):
            self._draw(pair)
        self._more = Button(
            "Another question", lambda: self._draw(_NEW_PAIR), look="ghost", small=True, testid="another-pair"
        )

    def written(self) -> Written:
        pairs = [
            Pair(str(question.value or "").strip(), str(answer.value or "").strip())
            for question, answer in self._fields.values()
        ]
        kept = tuple(pair for pair in pairs if pair != _NEW_PAIR)
        return Written(self._title, pairs=kept)

    def _draw(self, pair: Pair) -> None:
        if len(self._fields) >= _MAX_PAIRS:
            return
        self._made += 1
        made = self._made
        number = f" {made}" if made > 1 else ""
        with self._box, box("div", "rm-form", testid="pair") as row:
            question = text_field(
                f"Question{number}", pair.question, placeholder="How long is delivery?", longest=1000
            )
            answer = text_field(f"Answer{number}", pair.answer, lines=3, longest=4000)
            self._fields[made] = (question, answer)
            if made > 1:
                with box("div", "rm-row"):
                    Button(
                        f"Leave out question{number}", lambda: self._drop(made, row), look="ghost", small=True
                    )

    def _drop(self, made: int, row: ui.element) -> None:
        del self._fields[made]
        row.delete()


class Rewriting:
    """A dialog that edits a source. `changed` is awaited when it was saved."""

    def __init__(
        self, context: InstanceContext, source: Source, changed: Callable[[], Awaitable[None]]
    ) -> None:
        self._context = context
        self._source = source
        self._changed = changed

    async def open(self) -> None:
        found: list[tuple[Written, str]] = []

        async def read() -> None:
            context = self._context
            found.append(await calls.written(context.visitor, context.instance_id, self._source.source_id))

        if await attempt(read()):
            [(written, etag)] = found
            self._draw(written, etag)

    def _draw(self, written: Written, etag: str) -> None:
        hint = "Answers come from what it said before until the new one is ready."
        with dialog(f"Edit {written.title or 'this source'}", hint, wide=True) as shown:
            form = (PairsForm if self._source.kind == "qa" else TextForm)(written)

            async def save() -> None:
                if await attempt(self._write(form.written(), etag), "Saved. It is being read."):
                    shown.close()
                    await self._changed()

            with box("div", "rm-dialog__foot"):
                Button("Cancel", shown.close, look="secondary")
                Button("Save", save, testid="save-source")
        shown.open()

    async def _write(self, wanted: Written, etag: str) -> None:
        context = self._context
        try:
            await calls.rewrite(context.visitor, context.instance_id, self._source.source_id, wanted, etag)
        except Stale as error:
            raise Stale(
                error.status,
                error.code,
                "Somebody else saved in the meantime. Copy what you want to keep, then open it again.",
            ) from error
