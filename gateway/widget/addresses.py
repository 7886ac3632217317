"""Whose connection a request came over, and what is kept of that: a keyed hash, never the address."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: Proxies in a row that are looked through.
_MAX_HOPS = 16
_REMEDY = (
    "invalid settings: RUNMETER_GATEWAY_TRUSTED_PROXIES: give addresses or networks such as 10.0.0.0/8, "
    "comma-separated"
)


def networks(text: str) -> tuple[Network, ...]:
    """Return the proxies a setting names. Raises `SystemExit` with the remedy."""
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise SystemExit(_REMEDY) from None


def client_address(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """Return the address a request came from: the last one that no trusted proxy has.

    `forwarded`: the values of `X-Forwarded-For`. Each proxy appends whom it heard, so only what trusted ones
    appended is believed; what a client wrote there itself stands further left.
    """
    hops = [part.strip() for value in forwarded for part in value.split(",")][-_MAX_HOPS:]
    address = _parsed(peer)
    while address is not None and hops and _is_trusted(address, trusted):
        before = _parsed(hops.pop())
        if before is None:
            break  # what stands further left may be the client's own words
        address = before
    return str(address) if address is not None else peer


def hashed(address: str, secret: bytes) -> str:
    """Return what a rate is kept under. An IPv6 visitor has a /64 to choose from, so that is what counts."""
    parsed = _parsed(address)
    if isinstance(parsed, IPv6Address):
        address = str(ip_network((parsed, 64), strict=False))
    return hmac.new(secret, b"address:" + address.encode(), sha256).hexdigest()[:24]


def _parsed(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_trusted(address: Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)
