"""Data & Training: the sources an instance knows, adding to them, and trying out what it finds."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from console.calls import knowledge as calls
from console.calls.knowledge import Found, Quota, Source, SourcePage
from console.components import states
from console.components.button import Button
from console.components.dialog import confirmed
from console.components.fields import Segments, choice, number_field, text_field
from console.components.loaded import Loaded, attempt, toast
from console.components.status import StatusBadge, said
from console.components.table import Column, table
from console.components.text import Text, box, when
from console.edge import MAX_FILE_BYTES, TOO_BIG
from console.pages.instance.context import InstanceContext
from console.pages.instance.source import Inside, every
from console.pages.instance.writing import WRITTEN, PairsForm, Rewriting, TextForm
from console.pages.signed_in import card_head
from console.visitor import plain

_EVERY_S = 3.0
_KINDS = {"file": "Files", "url": "Page", "site": "Website", "text": "Text", "qa": "Q&A"}
#: Of a source that is there; uploads were chosen as files.
_NAMES = {**_KINDS, "upload": "File", "file": "File"}
_DONE = ("ready", "failed")
_UNIT = 1024
_CHOOSER_HEADER = """
<div class="rm-upload-head">
  <q-btn flat no-caps class="rm-upload-choose" label="Drop files here, or choose them"
    @click="props.pickFiles" />
  <q-uploader-add-trigger @vue:mounted="node => node.el.setAttribute('aria-label', 'Files')" />
</div>
"""
_CHOOSER_LIST = """
<p v-for="file in props.files" :key="file.__key" class="rm-upload-file" role="status">
  {{ file.name }} · {{ file.__status === 'failed' ? 'was not accepted' : file.__progressLabel }}
</p>
"""


def draw(context: InstanceContext) -> None:
    _Data(context)


class _Data:
    """The sources above, the ways to add one below; what is being read refreshes by itself."""

    def __init__(self, context: InstanceContext) -> None:
        self._context = context
        self._loaded = Loaded(self._load, self._draw, "knowledge", count=5, every_s=_EVERY_S)
        self._tools = box("div", "rm-stack").style("margin-top:16px")
        self._tools.set_visibility(False)
        with self._tools:
            self._draw_adding()
            self._draw_search()

    async def _load(self) -> SourcePage:
        page = await calls.sources(self._context.visitor, self._context.instance_id)
        self._tools.set_visibility(True)
        return page

    def _draw(self, page: SourcePage) -> None:
        with box("section", "rm-card", testid="sources"):
            with card_head("Sources", "What this instance may draw on when it answers."):
                self._draw_quota(page.quota)
            if not page.sources:
                states.empty(
                    "No knowledge yet",
                    "Add a file, a page or an answer below. It can be asked about as soon as it is ready.",
                    symbol="library_books",
                    testid="no-sources",
                )
                return
            table(
                page.sources,
                [
                    Column("Source", self._name, "rm-wrap"),
                    Column("Kind", lambda source: _NAMES.get(source.kind, said(source.kind)), "rm-wide"),
                    Column("Status", self._status),
                    Column(
                        "Pieces",
                        lambda source: self._context.locale.integer(source.chunks),
                        "rm-number rm-wide",
                    ),
                    Column("Updated", lambda source: when(source.updated_at_ms, "ago"), "rm-wide"),
                    Column("", self._actions),
                ],
                "Sources",
                testid="source",
            )

    def _draw_quota(self, quota: Quota) -> None:
        shown = self._context.locale
        with box("div").style("min-width:170px"):
            Text(
                "p",
                f"{shown.integer(quota.sources)} of {shown.integer(quota.max_sources)} sources, "
                f"{_size(quota.bytes)} of {_size(quota.max_bytes)}",
                "rm-muted rm-small",
                testid="quota",
            )
            share = max(quota.sources / (quota.max_sources or 1), quota.bytes / (quota.max_bytes or 1))
            with box("div", f"rm-meter{' rm-meter--warn' if share > 0.8 else ''}"):
                box("span").style(f"width:{min(100, round(100 * share))}%")

    def _name(self, source: Source) -> None:
        with box("div"):
            Text("span", source.title or source.url or source.source_id)
            if source.error:
                Text("p", source.error, "rm-error rm-small")
            elif source.page_errors:
                Text("p", f"{len(source.page_errors)} pages could not be read", "rm-muted rm-small")
            elif source.url and source.title != source.url:
                Text("p", source.url, "rm-muted rm-small")

    def _status(self, source: Source) -> None:
        with box("div"):
            StatusBadge(source.status)
            progress = source.progress
            if source.status not in _DONE and progress.total:
                Text("p", f"{progress.done} of {progress.total} {progress.unit}", "rm-muted rm-small")

    def _actions(self, source: Source) -> None:
        with box("div", "rm-table__actions"):
            if source.kind in ("url", "site") or source.status == "failed":
                Button("Read again", lambda: self._resync(source), look="ghost", small=True)
            if source.kind in WRITTEN:
                rewriting = Rewriting(self._context, source, self._loaded.refresh)
                Button("Edit", rewriting.open, look="ghost", small=True)
            if source.ready_at_ms:
                inside = Inside(self._context, source, self._loaded.refresh)
                Button("Look inside", inside.open, look="ghost", small=True)
            Button("Delete", lambda: self._delete(source), look="ghost", small=True)

    async def _resync(self, source: Source) -> None:
        context = self._context
        if await attempt(
            calls.resync(context.visitor, context.instance_id, source.source_id), "It is read again."
        ):
            await self._loaded.refresh()

    async def _delete(self, source: Source) -> None:
        what = "The instance forgets all that it knows from this source."
        if await confirmed(f"Delete {source.title or 'this source'}?", what, "Delete"):
            context = self._context
            if await attempt(
                calls.delete(context.visitor, context.instance_id, source.source_id), "Deleted."
            ):
                await self._loaded.refresh()

    # --- adding -------------------------------------------------------------------------------------------

    def _draw_adding(self) -> None:
        with box("section", "rm-card", testid="add-source"):
            with card_head("Add knowledge"):
                Segments("Kind of source", _KINDS, "file", self._choose)
            self._form = box("div", "rm-form")
            self._choose("file")

    def _choose(self, kind: str) -> None:
        self._form.clear()
        with self._form:
            getattr(self, f"_draw_{kind}")()

    def _draw_file(self) -> None:
        Text(
            "p",
            "PDF, Word, PowerPoint, Excel, CSV, JSON, HTML, Markdown or text, up to 25 MB each.",
            "rm-muted rm-small",
        )
        chooser = ui.upload(
            multiple=True,
            max_file_size=MAX_FILE_BYTES,
            auto_upload=True,
            on_upload=self._uploaded,
            on_rejected=lambda: toast(TOO_BIG, bad=True),
        ).props("flat data-testid=upload")
        # Quasar's own header and list have buttons of an icon alone, which nothing reads aloud.
        chooser.add_slot("header", _CHOOSER_HEADER)
        chooser.add_slot("list", _CHOOSER_LIST)

    async def _uploaded(self, event: Any) -> None:
        # The browser looks at it first, but need not.
        if event.file.size() > MAX_FILE_BYTES:
            toast(TOO_BIG, bad=True)
            return
        content = await event.file.read()
        context = self._context
        work = calls.upload(context.visitor, context.instance_id, event.file.name, content)
        if await attempt(work, f"{event.file.name} is being read."):
            await self._loaded.refresh()

    def _draw_url(self) -> None:
        url = text_field("Address", placeholder="https://docs.example.com/returns", longest=2048, kind="url")
        again = choice("Read it again", every(), "0")
        Button(
            "Add page",
            lambda: self._add(
                kind="url", url=str(url.value or "").strip(), resync_hours=int(again.value or 0)
            ),
        )

    def _draw_site(self) -> None:
        url = text_field("First page", placeholder="https://docs.example.com/", longest=2048, kind="url")
        with box("div", "rm-form rm-form--two"):
            pages = number_field("Pages at most", 50, least=1, most=5000)
            depth = number_field("Links away from it", 2, most=10)
        again = choice("Read it again", every(), "0")
        Button(
            "Add website",
            lambda: self._add(
                kind="site",
                url=str(url.value or "").strip(),
                max_pages=int(pages.value or 50),
                max_depth=int(depth.value if depth.value is not None else 2),
                resync_hours=int(again.value or 0),
            ),
        )

    def _draw_text(self) -> None:
        form = TextForm()
        Button("Add text", lambda: self._add_written("text", form), testid="add-text")

    def _draw_qa(self) -> None:
        form = PairsForm()
        Button("Add answers", lambda: self._add_written("qa", form), testid="add-pairs")

    async def _add_written(self, kind: str, form: TextForm | PairsForm) -> None:
        await self._add(kind=kind, **plain(form.written()))

    async def _add(self, **wanted: object) -> None:
        context = self._context
        if await attempt(
            calls.add(context.visitor, context.instance_id, **wanted), "Added. It is being read."
        ):
            self._choose(str(wanted["kind"]))
            await self._loaded.refresh()

    # --- trying out ---------------------------------------------------------------------------------------

    def _draw_search(self) -> None:
        with box("section", "rm-card"):
            with card_head("What does it find?", "Ask, and see the pieces an answer would be made from."):
                pass
            with box("form", "rm-row") as form:
                field = ui.input(placeholder="How long is delivery?").props(
                    'outlined dense maxlength=2000 aria-label="Question" data-testid=knowledge-query'
                )
                field.classes("rm-grow")
                Button(
                    "Search", lambda: self._search(str(field.value or "")), look="secondary", symbol="search"
                )
                form.on("submit.prevent", lambda: self._search(str(field.value or "")), [])
            self._hits = box("div", "rm-stack rm-stack--tight", testid="hits").style("margin-top:14px")

    async def _search(self, query: str) -> None:
        found: list[Found] = []

        async def call() -> None:
            found.extend(await calls.search(self._context.visitor, self._context.instance_id, query))

        if not query.strip() or not await attempt(call()):
            return
        self._hits.clear()
        with self._hits:
            if not found:
                Text("p", "Nothing found. Try other words, or add a source about it.", "rm-muted")
            for hit in found:
                with box("article", "rm-note"), box("div"):
                    where = " · ".join(
                        part
                        for part in (hit.title, hit.section, f"page {hit.page}" if hit.page else "")
                        if part
                    )
                    Text("h3", where)
                    Text("p", hit.text[:600], "rm-small").style("white-space:pre-wrap;overflow-wrap:anywhere")


def _size(count: int) -> str:
    for unit in ("B", "KB", "MB"):
        if count < _UNIT:
            return f"{count:,.0f} {unit}"
        count //= _UNIT
    return f"{count:,.0f} GB"
