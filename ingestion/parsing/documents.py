"""A file of a known type → its pages as Markdown. Imports are late: each type needs other, slow libraries."""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from ingestion.errors import SourceFailed
from ingestion.parsing.detect import FileType

_SLIDE = re.compile(r"<!-- Slide number: (\d+) -->")
_MAX_CELLS = 2_000_000
_CSV_SAMPLE = 8_192
_DELIMITERS = ",;\t|"
_QUOTED = re.compile(r'"[^"]*"')


class Page(Struct, frozen=True):
    """Text that is cited together; `number` is 0 where a file has no pages."""

    number: int
    text: str
    title: str = ""


def pages(path: Path, kind: FileType, max_pages: int) -> list[Page]:
    """Return a file's pages. Raises `SourceFailed`; whatever else is raised says that it is corrupt."""
    read = _READERS[kind]
    found: list[Page] = []
    for page in read(path):
        if len(found) >= max_pages:
            raise SourceFailed("too_large")
        found.append(page)
    return found


def _pdf(path: Path) -> Iterator[Page]:
    from pdfminer.high_level import extract_pages  # noqa: PLC0415
    from pdfminer.layout import LTTextContainer  # noqa: PLC0415
    from pdfminer.pdfdocument import PDFEncryptionError, PDFPasswordIncorrect  # noqa: PLC0415

    number = 0
    try:
        for number, layout in enumerate(extract_pages(str(path)), start=1):
            yield Page(number, "\n".join(x.get_text() for x in layout if isinstance(x, LTTextContainer)))
    except (PDFPasswordIncorrect, PDFEncryptionError) as error:
        raise SourceFailed("encrypted") from error
    if not number:
        raise SourceFailed("corrupt")


def _docx(path: Path) -> Iterator[Page]:
    from markitdown import StreamInfo  # noqa: PLC0415
    from markitdown.converters import DocxConverter  # noqa: PLC0415

    with path.open("rb") as file:
        yield Page(0, DocxConverter().convert(file, StreamInfo(extension=".docx")).markdown)


def _pptx(path: Path) -> Iterator[Page]:
    from markitdown import StreamInfo  # noqa: PLC0415
    from markitdown.converters import PptxConverter  # noqa: PLC0415

    with path.open("rb") as file:
        text = PptxConverter().convert(file, StreamInfo(extension=".pptx")).markdown
    _, *slides = _SLIDE.split(text)
    for number, slide in zip(slides[::2], slides[1::2], strict=True):
        yield Page(int(number), slide)


def _xlsx(path: Path) -> Iterator[Page]:
    """One page a sheet. Rows are read one by one: a sheet may say that it has a billion of them."""
    import openpyxl  # noqa: PLC0415

    room = _MAX_CELLS
    with path.open("rb") as file:
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        for number, sheet in enumerate(book.worksheets, start=1):
            sheet.reset_dimensions()
            table, room = _table(sheet.iter_rows(values_only=True), room)
            if table:
                yield Page(number, f"# {sheet.title}\n\n{table}")


def _csv(path: Path) -> Iterator[Page]:
    """One page, a table; what only calls itself one is text."""
    text = decoded(path.read_bytes())
    table = text
    if delimiter := _delimiter(text):
        with contextlib.suppress(csv.Error):
            table, _ = _table(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), _MAX_CELLS)
    yield Page(0, table)


def _delimiter(text: str) -> str:
    """Return what stands between the cells of the first line that has several; empty when none has.

    `csv.Sniffer` looks at all lines, and finds nothing where cells have several lines of their own.
    """
    for line in text[:_CSV_SAMPLE].splitlines():
        bare = _QUOTED.sub("", line)
        found = max(_DELIMITERS, key=bare.count)
        if found in bare:
            return found
    return ""


def _table(rows: Iterable[Sequence[object]], room: int) -> tuple[str, int]:
    """Return rows as a table whose first one is its header, and how many cells more there is room for."""
    lines: list[str] = []
    for row in rows:
        room -= len(row)
        if room < 0:
            raise SourceFailed("too_large")
        if any(value not in (None, "") for value in row):
            lines.append(_table_row(row))
            if len(lines) == 1:
                lines.append("|" + " --- |" * len(row))
    return "\n".join(lines), room


def _table_row(row: Sequence[object]) -> str:
    said = ("" if value is None else " ".join(str(value).split()).replace("|", "\\|") for value in row)
    return f"| {' | '.join(said)} |"


def _html(path: Path) -> Iterator[Page]:
    import trafilatura  # noqa: PLC0415

    source = decoded(path.read_bytes())
    found = trafilatura.bare_extraction(
        source, output_format="markdown", include_formatting=True, include_tables=True, with_metadata=True
    )
    title = str(getattr(found, "title", "") or "")
    text = str(getattr(found, "text", "") or "")
    if not text.strip():
        # Too little prose for an article; then all that a reader would see.
        text = trafilatura.html2txt(source) or ""
    yield Page(0, text, title)


def _text(path: Path) -> Iterator[Page]:
    yield Page(0, decoded(path.read_bytes()))


_READERS: Mapping[FileType, Callable[[Path], Iterator[Page]]] = {
    "pdf": _pdf,
    "docx": _docx,
    "pptx": _pptx,
    "xlsx": _xlsx,
    "html": _html,
    "csv": _csv,
    "text": _text,
}


def decoded(data: bytes) -> str:
    """Return text of an encoding that nobody named. Raises `SourceFailed` when none fits."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        from charset_normalizer import from_bytes  # noqa: PLC0415

        best = from_bytes(data[:1_000_000]).best()
        if best is None:
            raise SourceFailed("unsupported_type") from None
        return data.decode(best.encoding, errors="replace")
