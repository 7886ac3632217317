"""`multipart/form-data` bodies: fields (`query`, `param_…`) and external tables of one query."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message

from stack.clickhouse import errors
from stack.clickhouse.errors import QueryError

_TABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_MAX_PARTS = 1_000


@dataclass(frozen=True, slots=True)
class ExternalTable:
    """A file part: a temporary table of this one query. `structure` is `name Type, …`, as in CREATE TABLE."""

    name: str
    structure: str
    format: str
    data: bytes


def read_form(
    content_type: str, body: bytes, url: Mapping[str, str]
) -> tuple[dict[str, str], tuple[ExternalTable, ...]]:
    """Return the plain fields and the external tables. Raises `QueryError` for a malformed form."""
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_param("boundary")
    if not isinstance(boundary, str) or not boundary:
        raise _malformed("no boundary")
    fields: dict[str, str] = {}
    files: list[tuple[str, bytes]] = []
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary.encode(), _MAX_PARTS + 2)
    if len(parts) > _MAX_PARTS + 1 or not parts[-1].startswith(b"--"):
        raise _malformed("no closing boundary, or too many parts")
    for part in parts[1:-1]:
        name, is_file, data = _part(part)
        if is_file:
            files.append((name, data))
        else:
            fields[name] = _text(data)
    return fields, tuple(_external(name, data, {**fields, **url}) for name, data in files)


def _part(part: bytes) -> tuple[str, bool, bytes]:
    head, found, data = part.partition(b"\r\n\r\n")
    if not found:
        raise _malformed("a part without headers")
    message = Message()
    for line in head.decode("utf-8", "replace").split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            message[name.strip()] = value.strip()
    named = message.get_param("name", header="content-disposition")
    if not isinstance(named, str):
        raise _malformed("a part without a name")
    return named, message.get_param("filename", header="content-disposition") is not None, data


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _malformed("a field that is not UTF-8") from error


def _external(name: str, data: bytes, fields: Mapping[str, str]) -> ExternalTable:
    structure = fields.get(f"{name}_structure", "")
    if not structure and (types := fields.get(f"{name}_types")):
        structure = ", ".join(f"_{n} {kind}" for n, kind in enumerate(types.split(","), 1))
    if not _TABLE_NAME.fullmatch(name) or not structure:
        raise QueryError(errors.BAD_ARGUMENTS, "An external table needs a plain name and <name>_structure")
    return ExternalTable(name, structure, fields.get(f"{name}_format", "TabSeparated"), data)


def _malformed(why: str) -> QueryError:
    return QueryError(errors.BAD_ARGUMENTS, f"Malformed multipart/form-data: {why}")
