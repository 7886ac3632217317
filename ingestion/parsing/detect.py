"""What a file is, by what is in it: names and headers are only what somebody says."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ingestion.errors import SourceFailed

FileType = Literal["pdf", "docx", "pptx", "xlsx", "html", "csv", "text"]

_HEAD = 65_536
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_STREAM = "EncryptedPackage".encode("utf-16-le")
_OFFICE: dict[str, FileType] = {
    "word/document.xml": "docx",
    "ppt/presentation.xml": "pptx",
    "xl/workbook.xml": "xlsx",
}
#: At the start, where a page has it: texts about HTML name these tags, too.
_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:\s|<\?xml[^>]*>|<!--.*?-->)*+<(?:!doctype\s+html|html|head|body|title|meta)\b",
    re.IGNORECASE | re.DOTALL,
)
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
#: What begins like text and is none that anybody would want to read.
_NOT_TEXT = (b"{\\rtf", b"%!PS")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_CSV = (".csv", ".tsv")
_MAX_PARTS = 10_000


def detect(path: Path, max_unpacked_bytes: int, names: Sequence[str] = ()) -> FileType:
    """Return a file's type. Raises `SourceFailed` for one that is not read, and why.

    Its names only tell a table from other texts.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head.strip():
        raise SourceFailed("empty")
    if b"%PDF-" in head[:1_024]:
        return "pdf"
    if head.startswith(b"PK\x03\x04"):
        return _office(path, max_unpacked_bytes)
    if head.startswith(_OLE):
        # Office wraps what has a password into the container of its old formats.
        code = "encrypted" if _ENCRYPTED_STREAM in path.read_bytes() else "unsupported_type"
        raise SourceFailed(code)
    if _HTML.match(head):
        return "html"
    if head.startswith(_NOT_TEXT) or (not head.startswith(_BOMS) and _CONTROL.search(head)):
        raise SourceFailed("unsupported_type")
    return "csv" if any(name.lower().endswith(_CSV) for name in names) else "text"


def _office(path: Path, max_unpacked_bytes: int) -> FileType:
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise SourceFailed("corrupt") from error
    if any(part.flag_bits & 1 for part in parts):
        raise SourceFailed("encrypted")
    # What it says of itself; the memory limit is for those that lie.
    if len(parts) > _MAX_PARTS or sum(part.file_size for part in parts) > max_unpacked_bytes:
        raise SourceFailed("too_large")
    names = {part.filename for part in parts}
    found = [kind for name, kind in _OFFICE.items() if name in names]
    if not found:
        raise SourceFailed("unsupported_type")
    return found[0]
