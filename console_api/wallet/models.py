"""A wallet on the wire, and as it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from console_api.counters import NO_WALLET, Wallet
from console_api.money import Credits, CreditsMicro
from metering.wallet import Bucket, Change
from schemas.events import GrantKind

#: Buckets beyond these are only counted.
MAX_BUCKETS = 200


@dataclass(frozen=True)
class Reading:
    """One consistent read of a wallet.

    `credits` and `buckets` are as of the moment of reading. The totals are those last written down: what is
    expired since, `overdue` says. Money is micro-credits.
    """

    credits: Wallet = NO_WALLET
    expired: int = 0
    overdue: int = 0
    voided: int = 0
    refunded: int = 0
    version: int = 0
    #: Since when consumption is measured for thresholds: when credits were last added.
    period_start_ms: int = 0
    buckets: tuple[Bucket, ...] = ()
    upcoming: tuple[Change, ...] = ()

    @property
    def recorded(self) -> int:
        """The sum of all facts about the wallet: what its ledger adds up to once all of it is stored."""
        return self.credits.granted - self.credits.charged - self.expired - self.voided - self.refunded


class WalletView(BaseModel):
    """An org's credits. `available` is settled less held."""

    org_id: str
    settled: Credits = Field(description="Balance now, after everything metered so far; negative is debt")
    settled_micro: CreditsMicro
    held: Credits = Field(description="Reserved for runs in flight")
    held_micro: CreditsMicro
    available: Credits = Field(description="What new runs may spend")
    available_micro: CreditsMicro
    granted: Credits = Field(description="All credits ever given")
    granted_micro: CreditsMicro
    charged: Credits = Field(description="All credits ever charged, less what corrections gave back")
    charged_micro: CreditsMicro
    read_at_ms: int = Field(description="When these figures were read, Unix ms")


class WalletBucket(BaseModel):
    """What is left of one grant."""

    grant_id: str = Field(description="The grant; `returned` is what corrections gave back beyond any grant")
    kind: GrantKind
    priority: int = Field(description="Lower is spent first")
    granted: Credits = Field(description="The most it may hold: what was given, less what was refunded")
    granted_micro: CreditsMicro
    remaining: Credits
    remaining_micro: CreditsMicro
    effective_at_ms: int = Field(description="From when it may be spent, Unix ms; may lie ahead")
    expires_at_ms: int | None = Field(description="When it ends, Unix ms; `null` is never")
    rolls_over: Credits = Field(description="How much of what is left now would outlast `expires_at_ms`")
    rolls_over_micro: CreditsMicro
    rolled_over: bool = Field(description="Whether it has rolled over already, which happens once")


class WalletChange(BaseModel):
    """A change that time alone will make to the balance, if nothing is spent or given before."""

    at_ms: int
    delta: Credits = Field(description="Negative where credits end, positive where some become effective")
    delta_micro: CreditsMicro
    balance_after: Credits
    balance_after_micro: CreditsMicro


_EXAMPLE: dict[str, Any] = {
    "org_id": "org_1",
    "settled": "14.000000",
    "settled_micro": 14_000_000,
    "held": "0.500000",
    "held_micro": 500_000,
    "available": "13.500000",
    "available_micro": 13_500_000,
    "granted": "25.000000",
    "granted_micro": 25_000_000,
    "charged": "6.000000",
    "charged_micro": 6_000_000,
    "expired": "5.000000",
    "expired_micro": 5_000_000,
    "voided": "0.000000",
    "voided_micro": 0,
    "refunded": "0.000000",
    "refunded_micro": 0,
    "debt": "0.000000",
    "debt_micro": 0,
    "version": 1_769_850_000_000,
    "buckets": [
        {
            "grant_id": "grant_plan_january",
            "kind": "plan",
            "priority": 50,
            "granted": "10.000000",
            "granted_micro": 10_000_000,
            "remaining": "4.000000",
            "remaining_micro": 4_000_000,
            "effective_at_ms": 1_767_225_600_000,
            "expires_at_ms": 1_769_904_000_000,
            "rolls_over": "1.000000",
            "rolls_over_micro": 1_000_000,
            "rolled_over": False,
        },
        {
            "grant_id": "grant_purchase_7",
            "kind": "purchase",
            "priority": 100,
            "granted": "10.000000",
            "granted_micro": 10_000_000,
            "remaining": "10.000000",
            "remaining_micro": 10_000_000,
            "effective_at_ms": 1_767_225_600_000,
            "expires_at_ms": None,
            "rolls_over": "0.000000",
            "rolls_over_micro": 0,
            "rolled_over": False,
        },
    ],
    "more_buckets": 0,
    "schedule": [
        {
            "at_ms": 1_769_904_000_000,
            "delta": "-3.000000",
            "delta_micro": -3_000_000,
            "balance_after": "11.000000",
            "balance_after_micro": 11_000_000,
        },
        {
            "at_ms": 1_772_496_000_000,
            "delta": "-1.000000",
            "delta_micro": -1_000_000,
            "balance_after": "10.000000",
            "balance_after_micro": 10_000_000,
        },
    ],
    "read_at_ms": 1_769_850_000_321,
}


class WalletDetail(WalletView):
    """An org's credits, what they consist of, and what will become of them."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    expired: Credits = Field(description="All credits that ended unspent")
    expired_micro: CreditsMicro
    voided: Credits = Field(description="All credits taken away again")
    voided_micro: CreditsMicro
    refunded: Credits = Field(description="All credits clawed back because their money was returned")
    refunded_micro: CreditsMicro
    debt: Credits = Field(description="By how much `settled` is below zero")
    debt_micro: CreditsMicro
    version: int = Field(description="Grows with every change that is written down; 0 before the first")
    buckets: list[WalletBucket] = Field(description="Buckets with credits left, in the order of spending")
    more_buckets: int = Field(description=f"Buckets beyond the first {MAX_BUCKETS}")
    schedule: list[WalletChange] = Field(
        description="The next changes, soonest first. After eight there may be more: then the balance after "
        "the last listed is the lowest that follows from it"
    )


class Forecast(BaseModel):
    """When an org's credits run out, at the pace at which all its instances use them."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "available": "13.500000",
                "available_micro": 13_500_000,
                "per_day": "1.500000",
                "per_day_micro": 1_500_000,
                "ends_at_ms": 1_770_627_600_000,
                "instances": 2,
                "read_at_ms": 1_769_850_000_321,
            }
        }
    )

    available: Credits = Field(description="What new runs may spend now")
    available_micro: CreditsMicro
    per_day: Credits = Field(description="Used a day: of the last 7 calendar days (UTC), since the first use")
    per_day_micro: CreditsMicro
    ends_at_ms: int = Field(description="When the credits end, expiries counted in; 0: not within a year")
    instances: int = Field(description="How many instances draw on the wallet")
    read_at_ms: int
