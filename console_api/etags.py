"""Conditional requests: a resource's version is its ETag, and a change names the version it is based on."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Header, Response

from console_api.control.errors import PreconditionRequired
from kit.problems import InvalidRequest

_IfMatch = Annotated[str | None, Header(max_length=64, description='The ETag you read, e.g. `"3"`')]


def _expected(
    if_match: _IfMatch = None,
    if_none_match: Annotated[str | None, Header(max_length=64, description="`*`: only create")] = None,
) -> int | None:
    if if_match is not None:
        return _version(if_match)
    if if_none_match is not None:
        if if_none_match != "*":
            raise InvalidRequest("If-None-Match takes only `*` here.")
        return 0
    return None


def _required(if_match: _IfMatch = None) -> int:
    if if_match is None:
        raise PreconditionRequired("Read it first, and send the answer's ETag as If-Match with your change.")
    return _version(if_match)


def _version(if_match: str) -> int:
    tag = re.fullmatch(r'"(\d{1,18})"', if_match)
    if tag is None:
        raise InvalidRequest("If-Match takes the ETag of the answer you read.")
    return int(tag[1])


#: The version that the caller expects: 0 for none yet, `None` when the caller does not say.
ExpectedDep = Annotated[int | None, Depends(_expected)]
#: The version that the caller read; without one the request is refused.
ReadVersionDep = Annotated[int, Depends(_required)]


def tag(response: Response, version: int) -> None:
    """Say which version the answer is of."""
    response.headers["ETag"] = f'"{version}"'
