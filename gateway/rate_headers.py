"""`RateLimit` and `RateLimit-Policy`, as structured fields (IETF draft-ietf-httpapi-ratelimit-headers)."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.directory import Limits


def rate_headers(limits: Limits, rates: Sequence[int]) -> dict[str, str]:
    """Return the headers of an instance that has rates, from what the admission script says of them.

    `rates`: requests remaining, microseconds until all of them are back, and the same of tokens.
    """
    left, policy = [], []
    if limits.requests_per_minute:
        left.append(_left("requests", rates[0], rates[1]))
        policy.append(f'"requests";q={limits.requests_per_minute};w=60')
    if limits.tokens_per_minute:
        left.append(_left("tokens", rates[2], rates[3]))
        policy.append(f'"tokens";q={limits.tokens_per_minute};w=60;qu="tokens"')
    if not left:
        return {}
    return {"RateLimit": ", ".join(left), "RateLimit-Policy": ", ".join(policy)}


def _left(name: str, remaining: int, reset_us: int) -> str:
    return f'"{name}";r={remaining};t={seconds(reset_us)}'


def seconds(us: int) -> int:
    """Return microseconds as whole seconds, rounded up: who waits that long has waited long enough."""
    return -(-us // 1_000_000)
