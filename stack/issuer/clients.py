"""The clients that may ask for sign-ins, and the addresses that they may be answered at."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

#: Client id → its addresses.
Addresses = Mapping[str, frozenset[str]]

_MAX_ADDRESSES = 100


def parse(text: str, variable: str) -> Addresses:
    """Return what `client_id=address[,client_id=address …]` says. Raises `SystemExit` with the remedy."""
    found: dict[str, set[str]] = {}
    pairs = [pair.strip() for pair in text.split(",") if pair.strip()]
    for pair in pairs[:_MAX_ADDRESSES]:
        client_id, _, address = pair.partition("=")
        if not client_id.strip() or not _usable(address.strip()):
            raise SystemExit(
                f"invalid settings: {variable}: {pair[:200]!r} is not `client_id=address` with an http(s) "
                "address without a fragment; separate several by commas"
            )
        found.setdefault(client_id.strip(), set()).add(address.strip())
    if len(pairs) > _MAX_ADDRESSES:
        raise SystemExit(f"invalid settings: {variable}: give at most {_MAX_ADDRESSES} addresses")
    return {client_id: frozenset(addresses) for client_id, addresses in found.items()}


def origin(address: str) -> str:
    """Return `scheme://host[:port]` of a usable address."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def _usable(address: str) -> bool:
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018 - raises for what is none
    except ValueError:
        return False
    # What would end a header or a policy that the address is written into has no place in one.
    plain = address.isascii() and address.isprintable() and not set(address) & set(" ;'\"<>\\")
    return plain and parts.scheme in ("http", "https") and bool(parts.hostname) and "#" not in address
