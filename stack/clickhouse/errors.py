"""ClickHouse's errors: numeric code, name, and the HTTP status that its HTTP handler answers with."""

from __future__ import annotations

import re

_ENGINE_ERROR = re.compile(r"Code: (\d+)\. DB::Exception: ", re.ASCII)
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]+)\)\s*$")
_VERSION = re.compile(r"\s*\(version [^()]*(?:\([^()]*\))?\)\s*\.?\s*$")

SYNTAX_ERROR = (62, "SYNTAX_ERROR")
BAD_ARGUMENTS = (36, "BAD_ARGUMENTS")
NOT_IMPLEMENTED = (48, "NOT_IMPLEMENTED")
CANNOT_PARSE_TEXT = (6, "CANNOT_PARSE_TEXT")
UNKNOWN_FORMAT = (73, "UNKNOWN_FORMAT")
UNKNOWN_TYPE_OF_QUERY = (78, "UNKNOWN_TYPE_OF_QUERY")
UNKNOWN_SETTING = (115, "UNKNOWN_SETTING")
TIMEOUT_EXCEEDED = (159, "TIMEOUT_EXCEEDED")
READONLY = (164, "READONLY")
TOO_MANY_SIMULTANEOUS_QUERIES = (202, "TOO_MANY_SIMULTANEOUS_QUERIES")
SOCKET_TIMEOUT = (209, "SOCKET_TIMEOUT")
NETWORK_ERROR = (210, "NETWORK_ERROR")
SAME_QUERY_ID = (216, "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING")
QUERY_IS_TOO_LARGE = (229, "QUERY_IS_TOO_LARGE")
CANNOT_DECOMPRESS = (271, "CANNOT_DECOMPRESS")
INTO_OUTFILE_NOT_ALLOWED = (358, "INTO_OUTFILE_NOT_ALLOWED")
SESSION_NOT_FOUND = (372, "SESSION_NOT_FOUND")
SESSION_IS_LOCKED = (373, "SESSION_IS_LOCKED")
INVALID_SESSION_TIMEOUT = (374, "INVALID_SESSION_TIMEOUT")
QUERY_WAS_CANCELLED = (394, "QUERY_WAS_CANCELLED")
TOO_MANY_ROWS_OR_BYTES = (396, "TOO_MANY_ROWS_OR_BYTES")
ACCESS_DENIED = (497, "ACCESS_DENIED")
AUTHENTICATION_FAILED = (516, "AUTHENTICATION_FAILED")
UNSUPPORTED_MEDIA_TYPE = (779, "UNSUPPORTED_MEDIA_TYPE")
UNKNOWN_EXCEPTION = (1002, "UNKNOWN_EXCEPTION")

_BAD_REQUEST = (
    *(6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376, 427, 441, 675),
    676,
)
_NOT_FOUND = (46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511)
#: As `exceptionCodeToHTTPStatus` of ClickHouse 26; 202 is ours: 503 says "try again", 500 does not.
_STATUS: dict[int, int] = {
    **dict.fromkeys(_BAD_REQUEST, 400),
    **dict.fromkeys((192, 193, 497, 512, 516), 403),
    **dict.fromkeys(_NOT_FOUND, 404),
    **dict.fromkeys((76, 202, 209, 439), 503),
    194: 401,
    48: 501,
    159: 408,
    229: 413,
    381: 411,
    779: 415,
}


class QueryError(Exception):
    """A refusal or failure that the client is told about, in ClickHouse's form."""

    def __init__(self, kind: tuple[int, str], text: str) -> None:
        super().__init__(text)
        self.code, self.name = kind
        self.text = text

    @property
    def status(self) -> int:
        """Return the HTTP status ClickHouse maps this code to (500 where it names none)."""
        return _STATUS.get(self.code, 500)

    def body(self, version: str) -> bytes:
        """Return `Code: 60. DB::Exception: … (UNKNOWN_TABLE) (version …)` and a newline, UTF-8."""
        text = self.text if self.text.endswith(".") else self.text + "."
        line = f"Code: {self.code}. DB::Exception: {text} ({self.name}) (version {version})\n"
        return line.encode("utf-8", "backslashreplace")


def from_engine(raw: str) -> QueryError:
    """Return the error that a chDB message stands for.

    chDB repeats the prefix and the `(version …) (NAME)` tail once for every layer an exception passed.
    """
    found = _ENGINE_ERROR.search(raw)
    if not found:
        return QueryError(UNKNOWN_EXCEPTION, raw.strip())
    code, text, name = int(found[1]), raw[found.end() :], ""
    while repeated := _ENGINE_ERROR.match(text):
        text = text[repeated.end() :]
    while True:
        text = _VERSION.sub("", text).rstrip()
        tail = _NAME.search(text)
        if not tail:
            break
        name, text = tail[1], text[: tail.start()].rstrip().removesuffix(".")
    return QueryError((code, name or "UNKNOWN_EXCEPTION"), text)
