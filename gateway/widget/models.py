"""Sessions on the wire."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from kit.problems import InvalidRequest
from schemas.directory import Branding


class NewSession(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Begin a session; all of it is optional. `api_key`: the widget's key, if no header has it.

    `visitor_token`: from an earlier session, to be the same visitor. One that is not valid is ignored.
    """

    api_key: Annotated[str, Meta(max_length=128)] = ""
    visitor_token: Annotated[str, Meta(max_length=2048)] = ""


class SessionLimits(Struct, frozen=True, kw_only=True):
    """What the visitor may do; 0 is no limit. `session_ends_at`: no refreshing goes beyond it."""

    runs_per_minute: int
    session_ends_at: str


class Session(Struct, frozen=True, kw_only=True):
    """A session and how to show it. Times are ISO 8601, UTC; `refresh_in_s` suits a clock that is wrong.

    `session_token` goes into `Authorization: Bearer …`; `visitor_token` is to be kept for the next session.
    """

    session_token: str
    expires_at: str
    refresh_after: str
    refresh_in_s: int
    visitor_id: str
    visitor_token: str
    name: str
    greeting: str
    branding: Branding
    limits: SessionLimits


_decoder = msgspec.json.Decoder(NewSession)


def parse(body: bytes) -> NewSession:
    """Return the request; no body is an empty one. Raises `InvalidRequest`."""
    try:
        return _decoder.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(str(error)) from None
