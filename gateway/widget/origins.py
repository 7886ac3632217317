"""Origins as browsers send them (RFC 6454). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

#: As the console API lets an origin be; a key's origins are no longer than this either.
MAX_CHARS = 256

_ORIGIN = re.compile(r"(https?)://([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::(\d{1,5}))?")
_DEFAULT_PORT = {"https": "443", "http": "80"}


def the_one(values: Sequence[str]) -> str:
    """Return the request's origin; empty when it has none, or several."""
    return values[0] if len(values) == 1 else ""


def is_origin(text: str) -> bool:
    """Return whether the text is the origin of a page: scheme, host and port. `null` is none."""
    return len(text) <= MAX_CHARS and _ORIGIN.fullmatch(text) is not None


def is_allowed(origin: str, allowed: Iterable[str]) -> bool:
    """Return whether the origin is one of those: the same scheme, host and port, nothing looser."""
    return is_origin(origin) and any(origin == _as_sent(one) for one in allowed)


def name(origin: str) -> str:
    """Return what a blocked origin is counted as: itself, `null`, `none` or `malformed`."""
    if origin == "null" or is_origin(origin):
        return origin
    return "malformed" if origin else "none"


def _as_sent(allowed: str) -> str:
    """Return an allowed origin the way browsers send it: without the scheme's own port."""
    found = _ORIGIN.fullmatch(allowed)
    if found is None or found[3] != _DEFAULT_PORT[found[1]]:
        return allowed
    return f"{found[1]}://{found[2]}"
