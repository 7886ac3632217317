"""What the admission script refuses, as the errors clients are told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from gateway.credits import as_credits
from gateway.errors import InsufficientCredits, RateLimited, TooManyRuns
from gateway.keys import Caller
from gateway.metrics import LimitSource
from gateway.quotes import LEAST_OUTPUT, Quote
from gateway.rate_headers import rate_headers, seconds
from metering.prices import worst_case
from metering.windows import DAY_MS, start_of

Reason = Literal["insufficient_credits", "request_too_large", "hold_exhausted"]

_REMEDY: dict[LimitSource, str] = {
    "org_wallet": "top up the wallet, or wait until runs in flight are settled",
    "instance_day": "wait until the day (UTC) is over, or raise the instance's daily cap",
    "instance_month": "wait until the month (UTC) is over, or raise the instance's monthly cap",
}


def insufficient(
    caller: Caller, model: str, quote: Quote, *, source: LimitSource, available: int, now_ms: int
) -> InsufficientCredits:
    """Return why the hold could not be had, and what would help."""
    smallest = worst_case(caller.book, model, 1, min(LEAST_OUTPUT, quote.output))
    smaller = available >= max(1, smallest)
    reason: Reason = "request_too_large" if smaller else "insufficient_credits"
    remedy = _REMEDY[source]
    if smaller:
        remedy = f"send less, or ask for fewer tokens with max_tokens; or {remedy}"
    refusal = InsufficientCredits(
        remedy,
        reason=reason,
        limit_source=source,
        available_credits=as_credits(max(0, available)),
        needed_credits=as_credits(quote.wanted),
        minimum_credits=as_credits(quote.minimum),
        remedy=remedy,
    )
    if source != "org_wallet":
        refusal.extra["resets_at"] = _iso(reset_ms(source, now_ms))
    return refusal


def rated(caller: Caller, which: str, retry_after_us: int, rates: list[int]) -> RateLimited:
    """Return that a rate is used up. `retry_after_us` below zero: waiting does not help."""
    limits = caller.instance.limits
    headers = rate_headers(limits, rates)
    if retry_after_us < 0:
        return RateLimited(
            f"the request alone needs more {which} than a minute allows: send less, or lower max_tokens",
            limit=which,
            headers=headers,
        )
    wait = max(1, seconds(retry_after_us))
    headers["Retry-After"] = str(wait)
    return RateLimited(f"wait {wait} s: the {which} of this minute are used up", limit=which, headers=headers)


def too_many_runs(caller: Caller) -> TooManyRuns:
    """Return that the instance's runs in flight are as many as may be."""
    most = caller.instance.limits.max_concurrent_runs
    return TooManyRuns(
        f"wait until one of the {most} runs in flight has ended",
        limit="concurrent_runs",
        headers={"Retry-After": "1"},
    )


def reset_ms(source: LimitSource, now_ms: int) -> int:
    """Return when a cap starts anew."""
    if source == "instance_day":
        return start_of("day", now_ms) + DAY_MS
    # 32 days after a month began is always in the next one.
    return start_of("month", start_of("month", now_ms) + 32 * DAY_MS)


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).isoformat().replace("+00:00", "Z")
