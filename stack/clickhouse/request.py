"""From an HTTP request to what is to be run, by the rules of ClickHouse's `HTTPHandler`."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from stack.clickhouse import compression, errors
from stack.clickhouse.errors import QueryError
from stack.clickhouse.forms import ExternalTable, read_form
from stack.clickhouse.tokens import words

#: URL parameters of the interface itself; every other one is a setting.
_INTERFACE = words(
    """
    query query_id database default_format session_id session_timeout session_check close_session user
    password quota_key compress decompress
    buffer_size wait_end_of_query client_protocol_version role stacktrace
    """
)
_QUERY_ID = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class Session:
    """A named session: SET, USE and temporary tables last until `timeout_seconds` after its last query."""

    name: str
    timeout_seconds: float
    must_exist: bool


@dataclass(frozen=True, slots=True)
class QueryRequest:
    """One query as asked for; `sql` still carries an INSERT's data, `params` are TSV-escaped."""

    sql: bytes
    query_id: str
    database: str
    default_format: str
    settings: Mapping[str, str]
    params: Mapping[str, str]
    readonly: bool
    encoding: str
    wait_end: bool
    session: Session | None
    externals: tuple[ExternalTable, ...]


def authenticate(headers: Mapping[str, str], url: Mapping[str, str], password: str) -> None:
    """Raise `QueryError` 516 unless the request carries `password`. An empty `password` lets everyone in."""
    if not password:
        return
    scheme, _, token = headers.get("authorization", "").partition(" ")
    given = headers.get("x-clickhouse-key", url.get("password", ""))
    if scheme.lower() == "basic":
        given = _basic_password(token)
    if not hmac.compare_digest(given.encode(), password.encode()):
        raise QueryError(
            errors.AUTHENTICATION_FAILED,
            "default: Authentication failed: password is incorrect, or there is no user with such name.",
        )


def _basic_password(token: str) -> str:
    try:
        return base64.b64decode(token, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def url_parameters(query_string: bytes) -> dict[str, str]:
    """Return the URL's parameters; of a repeated one the first, as ClickHouse does. Raises 6 if not UTF-8."""
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=2_000
        )
    except (UnicodeDecodeError, ValueError) as error:
        raise QueryError(errors.CANNOT_PARSE_TEXT, "Cannot parse the URL's parameters as UTF-8") from error
    return dict(reversed(pairs))


def read_query(
    method: str, headers: Mapping[str, str], url: Mapping[str, str], body: bytes, max_body: int
) -> QueryRequest:
    """Return the query of one request. CPU-bound for a compressed body: call it off the event loop."""
    if truthy(url.get("compress")) or truthy(url.get("decompress")):
        raise QueryError(
            errors.NOT_IMPLEMENTED,
            "compress=1 and decompress=1 (ClickHouse's own block framing) are not supported: "
            "use Content-Encoding, or Accept-Encoding with enable_http_compression=1.",
        )
    encoding = headers.get("content-encoding", "").strip().lower()
    if body and encoding not in ("", "identity"):
        body = compression.decompress(body, encoding, max_body)
    fields, externals = dict(url), ()  # type: tuple[dict[str, str], tuple[ExternalTable, ...]]
    if headers.get("content-type", "").lower().startswith("multipart/form-data"):
        form, externals = read_form(headers["content-type"], body, url)
        fields, body = {**form, **fields}, b""
    return QueryRequest(
        sql=_sql(fields.get("query", ""), body),
        query_id=_query_id(fields.get("query_id", "")),
        database=headers.get("x-clickhouse-database", fields.get("database", "")),
        default_format=headers.get("x-clickhouse-format", fields.get("default_format", "TabSeparated")),
        settings=_settings(fields, externals),
        params={name[6:]: value for name, value in fields.items() if name.startswith("param_")},
        readonly=method != "POST",
        encoding=compression.choose(headers.get("accept-encoding", ""))
        if truthy(fields.get("enable_http_compression", "1"))
        else "",
        wait_end=truthy(fields.get("wait_end_of_query")),
        session=_session(fields),
        externals=externals,
    )


def truthy(value: str | None) -> bool:
    return value is not None and value.lower() in ("1", "true")


def _sql(query: str, body: bytes) -> bytes:
    if not query:
        return body
    return query.encode() + b"\n" + body if body else query.encode()


def _query_id(given: str) -> str:
    if given and not _QUERY_ID.fullmatch(given):
        raise QueryError(errors.BAD_ARGUMENTS, "query_id must be 1 to 128 printable ASCII characters")
    return given or str(uuid.uuid4())


def _settings(fields: Mapping[str, str], externals: tuple[ExternalTable, ...]) -> dict[str, str]:
    described = {f"{table.name}_{part}" for table in externals for part in ("structure", "format", "types")}
    return {
        name: value
        for name, value in fields.items()
        if name not in _INTERFACE and name not in described and not name.startswith("param_")
    }


def _session(fields: Mapping[str, str]) -> Session | None:
    name = fields.get("session_id", "")
    if not name:
        return None
    try:
        timeout = float(fields.get("session_timeout", "60"))
    except ValueError:
        timeout = -1.0
    if not 0 < timeout <= 3600:
        raise QueryError(
            errors.INVALID_SESSION_TIMEOUT, "Invalid session timeout: 1 to 3600 seconds are allowed"
        )
    return Session(name[:256], timeout, truthy(fields.get("session_check")))
