"""Ledger lines and balances on the wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta, Struct
from pydantic import BaseModel, ConfigDict, Field

from console_api.money import Credits, CreditsMicro
from console_api.times import LAST_MS
from schemas.events import EntryKind

#: Lines of one CSV file.
MAX_CSV_LINES = 100_000

_Moment = Annotated[int, Meta(ge=0, le=LAST_MS)]


@dataclass(frozen=True)
class LedgerFilter:
    """Which entries: a range of occurrence `[from_ms, to_ms)`, kinds, a reference; empty means any."""

    from_ms: int
    to_ms: int
    kinds: tuple[EntryKind, ...] = ()
    reference_id: str = ""


class Place(Struct, frozen=True, array_like=True):
    """A place in the order newest first: a page begins after it. The listing ends at `from_ms`."""

    from_ms: _Moment
    occurred_at_ms: _Moment
    entry_id: Annotated[str, Meta(max_length=512)]


_KIND = Field(
    description="`usage`, `adjustment`, `grant`, `expiry`, `void` or `refund`; more may come",
    examples=["usage"],
)
_LINE: dict[str, Any] = {
    "entry_id": "run_1",
    "kind": "usage",
    "account": "usage",
    "amount": "-0.250000",
    "amount_micro": -250_000,
    "occurred_at": "2026-01-31T09:00:00.000Z",
    "occurred_at_ms": 1_769_850_000_000,
    "recorded_at": "2026-01-31T09:00:01.250Z",
    "recorded_at_ms": 1_769_850_001_250,
    "reference_id": "run_1",
    "price_version": "v1",
    "reason": "",
}


class LedgerLine(BaseModel):
    """One entry as known so far: a run's usage is one line, which grows until the run has ended."""

    model_config = ConfigDict(json_schema_extra={"example": _LINE})

    entry_id: str
    kind: str = _KIND
    account: str = Field(description="The other side, such as `usage`, `granted:purchase` or `expired`")
    amount: Credits = Field(description="What the wallet got; negative is what was taken")
    amount_micro: CreditsMicro
    occurred_at: str = Field(description="ISO-8601 UTC. Of a run's usage, when the run started")
    occurred_at_ms: int
    recorded_at: str = Field(description="When this version of the entry was written, ISO-8601 UTC")
    recorded_at_ms: int
    reference_id: str = Field(description="The run or the grant that it is about")
    price_version: str = Field(description="The price book it was priced with; empty unless about a run")
    reason: str


class LedgerPage(BaseModel):
    """Entries, newest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"entries": [_LINE], "next_cursor": None}})

    entries: list[LedgerLine]
    next_cursor: str | None = Field(description="Pass as `cursor` for older entries")


class KindSum(BaseModel):
    """All entries of one kind."""

    kind: str = _KIND
    entries: int
    amount: Credits
    amount_micro: CreditsMicro


class Balance(BaseModel):
    """What the entries up to a moment add up to."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "org_id": "org_1",
                "at": "2026-01-31T09:00:00.000Z",
                "at_ms": 1_769_850_000_000,
                "balance": "9.750000",
                "balance_micro": 9_750_000,
                "by_kind": [
                    {"kind": "usage", "entries": 1, "amount": "-0.250000", "amount_micro": -250_000},
                    {"kind": "grant", "entries": 1, "amount": "10.000000", "amount_micro": 10_000_000},
                ],
                "pending": "-0.125000",
                "pending_micro": -125_000,
                "recorded_at": "2026-01-31T08:59:59.100Z",
                "recorded_at_ms": 1_769_849_999_100,
            }
        }
    )

    org_id: str
    at: str = Field(description="ISO-8601 UTC")
    at_ms: int
    balance: Credits = Field(description="Includes grants that had been given but were not effective yet")
    balance_micro: CreditsMicro
    by_kind: list[KindSum] = Field(description="Their amounts add up to the balance")
    pending: Credits | None = Field(
        description="What the wallet says beyond these entries: not stored yet. `null` for a past moment"
    )
    pending_micro: CreditsMicro | None
    recorded_at: str | None = Field(description="When the newest of these entries was written")
    recorded_at_ms: int | None
