"""What a destination is: one small protocol, and two ways to fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NewType, Protocol, get_args

from schemas.billing import BillingRecord

#: Why a record becomes a dead letter.
Reason = Literal[
    "invalid_event",
    "unknown_customer",
    "too_old",
    "in_the_future",
    "negative",
    "stripe_refused",
    "outcome_unknown",
    "too_large",
]
#: Or what an HTTP receiver answered: `status_422`.
Status = NewType("Status", str)
#: The labels that refusals are counted under.
REASONS = (*get_args(Reason), "status_4xx")


class Unavailable(Exception):
    """The receiver did not take a batch and may take it later: it is away, busy, or our key is wrong.

    `arrived` says that the request may have: then a repeat is one only as long as the receiver knows ids
    again. `retry_after_s` is what the receiver asked for; 0: nothing.
    """

    def __init__(self, text: str, *, arrived: bool = True, retry_after_s: float = 0.0) -> None:
        super().__init__(text)
        self.arrived = arrived
        self.retry_after_s = retry_after_s


class Refused(Exception):
    """The receiver will never take this batch as it is: one of its records may be why."""

    def __init__(self, reason: Reason | Status, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Item:
    """A record and where in its partition it stands."""

    offset: int
    record: BillingRecord
    raw: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """What the destination's tenants have of one partition's records `first` … `last`, in order."""

    partition: int
    first: int
    last: int
    items: Sequence[Item]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that the receiver does not take, and why."""

    item: Item
    reason: Reason | Status
    detail: str


class Destination(Protocol):
    """One receiver. `deliver` may be called again with the same batch, or with parts of it."""

    #: How long the receiver knows an id again; 0: for ever, or as often as one likes.
    repeatable_ms: int

    async def deliver(self, batch: Batch) -> list[Refusal]:
        """Hand over a batch, and return what of it the receiver refuses by itself.

        Raises `Unavailable` when all of it is to be tried again, and `Refused` when the receiver refused the
        whole without saying which record is why.
        """

    async def spans(self, partition: int) -> list[tuple[int, int]]:
        """Return the ranges (first, last) it holds of a partition where a repeat must have the same cuts."""

    async def close(self) -> None:
        """Close the connections."""
