"""The file of a form, as it comes in: nothing of it is kept here, in memory or on disk."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from kit.problems import InvalidRequest

FIELD = "file"
_MAX_PARTS = 8
#: Of all that comes before the file's first byte.
_MAX_BEFORE = 65_536
_MAX_HEADERS = 8_192

_NO_FILE = f"Send the file in the form's field `{FIELD}`."


class FormFile:
    """The first file in the form's field `file`. Raises `InvalidRequest` for a form without a whole one."""

    def __init__(self, content_type: str, body: AsyncIterator[bytes]) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not 0 < len(boundary) <= 256:
            raise InvalidRequest("Send a form with its boundary, or the file itself as the body.")
        self.filename = ""
        self._body = body
        self._pieces: deque[bytes] = deque()
        self._inside = self._found = self._ended = False
        self._parts = self._before = 0
        self._field, self._value = bytearray(), bytearray()
        self._disposition = b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begins,
                "on_header_field": lambda data, start, end: self._header(self._field, data[start:end]),
                "on_header_value": lambda data, start, end: self._header(self._value, data[start:end]),
                "on_header_end": self._header_ends,
                "on_headers_finished": self._headers_end,
                "on_part_data": self._data,
                "on_part_end": self._part_ends,
            },
        )

    async def begin(self) -> None:
        """Read up to the file's first byte: its name is known then."""
        async for chunk in self._body:
            self._feed(chunk)
            if self._found:
                return
            self._before += len(chunk)
            if self._before > _MAX_BEFORE:
                break
        raise InvalidRequest(_NO_FILE)

    async def content(self) -> AsyncIterator[bytes]:
        """Yield the file."""
        while True:
            while self._pieces:
                yield self._pieces.popleft()
            if self._ended:
                return
            chunk = await anext(self._body, None)
            if chunk is None:
                raise InvalidRequest("The form ends in the middle of the file; send it again.")
            self._feed(chunk)

    def _feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise InvalidRequest("That is not a form; send `multipart/form-data`.") from error

    def _part_begins(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS and not self._found:
            raise InvalidRequest(_NO_FILE)
        self._disposition = b""

    def _header(self, kept: bytearray, more: bytes) -> None:
        kept += more
        if len(kept) > _MAX_HEADERS:
            raise InvalidRequest("A header of the form is too long.")

    def _header_ends(self) -> None:
        if bytes(self._field).lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._field.clear()
        self._value.clear()

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        # A field of that name without a file name is a text.
        named = options.get(b"name") == FIELD.encode() and b"filename" in options
        self._inside = named and not self._found
        if self._inside:
            self._found = True
            self.filename = options[b"filename"].decode(errors="replace")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._inside:
            self._pieces.append(data[start:end])

    def _part_ends(self) -> None:
        self._ended = self._ended or self._inside
        self._inside = False
