"""Counter hashes and wallets, decoded: how live numbers leave Redis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from metering.totals import COUNTERS, ZERO, Totals

#: The order `HMGET` is asked in.
FIELDS: list[str] = list(COUNTERS)


def vector(values: Sequence[bytes | None]) -> Totals:
    """Return the counter vector of one `HMGET` answer; a counter never written is zero."""
    if not any(values):
        return ZERO
    return tuple(int(value or 0) for value in values)


@dataclass(frozen=True)
class Wallet:
    """An org's credits in micro-credits. Settled, held and spendable are never one number."""

    settled: int
    granted: int
    charged: int
    held: int

    @property
    def available(self) -> int:
        """What admission may still hand out."""
        return self.settled - self.held


NO_WALLET = Wallet(0, 0, 0, 0)


def wallet(fields: Mapping[bytes, bytes], holds: Iterable[bytes]) -> Wallet:
    """Return the wallet of a `HGETALL` of its hash and the `HVALS` of its holds; empty means all zero."""
    return Wallet(
        settled=int(fields.get(b"balance", 0)),
        granted=int(fields.get(b"granted", 0)),
        charged=int(fields.get(b"charged", 0)),
        held=sum(int(amount) for amount in holds),
    )
