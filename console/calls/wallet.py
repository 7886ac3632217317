"""An org's credits: the wallet of now, and the ledger behind it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from console.visitor import Visitor


class Bucket(Struct, frozen=True):
    """What is left of one grant."""

    grant_id: str
    kind: str
    priority: int
    granted_micro: int
    remaining_micro: int
    effective_at_ms: int
    expires_at_ms: int | None
    rolls_over_micro: int
    rolled_over: bool


class Change(Struct, frozen=True):
    """What time alone will do."""

    at_ms: int
    delta_micro: int
    balance_after_micro: int


class Wallet(Struct, frozen=True):
    org_id: str
    settled_micro: int
    held_micro: int
    available_micro: int
    granted_micro: int
    charged_micro: int
    expired_micro: int
    voided_micro: int
    refunded_micro: int
    debt_micro: int
    buckets: tuple[Bucket, ...]
    more_buckets: int
    schedule: tuple[Change, ...]


class Forecast(Struct, frozen=True):
    """Credits available, used per day by all instances, and when they end (0: not within a year)."""

    available_micro: int
    per_day_micro: int
    ends_at_ms: int
    instances: int


class Line(Struct, frozen=True):
    """One ledger entry as known so far."""

    entry_id: str
    kind: str
    account: str
    amount_micro: int
    occurred_at_ms: int
    recorded_at_ms: int
    reference_id: str
    price_version: str
    reason: str


class LedgerPage(Struct, frozen=True):
    entries: tuple[Line, ...]
    next_cursor: str | None


KINDS = ("usage", "adjustment", "grant", "expiry", "void", "refund")


class Filter(Struct, frozen=True):
    """Which entries: a range (Unix ms, empty for the API's own), kinds, a run or grant."""

    start: str = ""
    to: str = ""
    kinds: tuple[str, ...] = ()
    reference_id: str = ""

    def query(self) -> tuple[tuple[str, str], ...]:
        named: Sequence[tuple[str, str]] = (
            ("from", self.start),
            ("to", self.to),
            ("reference_id", self.reference_id),
            *(("kind", kind) for kind in self.kinds),
        )
        return tuple(pair for pair in named if pair[1])


async def wallet(visitor: Visitor) -> Wallet:
    return await visitor.get("/wallet", Wallet)


async def forecast(visitor: Visitor) -> Forecast:
    return await visitor.get("/wallet/forecast", Forecast)


async def ledger(visitor: Visitor, wanted: Filter, cursor: str | None, limit: int = 50) -> LedgerPage:
    paging = (("limit", str(limit)), *((("cursor", cursor),) if cursor else ()))
    return await visitor.get("/wallet/ledger", LedgerPage, (*wanted.query(), *paging))
