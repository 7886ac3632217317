"""Counter hashes and wallets, decoded: how live numbers leave Redis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from metering.settling import changes_of
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
    """An org's credits in micro-credits. Settled, held and spendable are never one number.

    `settled` is the balance at the moment of reading, `granted` and `charged` are all there ever was.
    """

    settled: int
    granted: int
    charged: int
    held: int

    @property
    def available(self) -> int:
        """What admission may still hand out."""
        return self.settled - self.held


NO_WALLET = Wallet(0, 0, 0, 0)


def changes(fields: Mapping[bytes, bytes]) -> list[tuple[int, int]]:
    """Return the `(at_ms, delta_micro)` that time alone will change the balance by, in order."""
    return changes_of(fields.get(b"schedule"))


def wallet(fields: Mapping[bytes, bytes], holds: Iterable[bytes], now_ms: int) -> Wallet:
    """Return the wallet of a `HGETALL` of its hash and the `HVALS` of its holds; empty means all zero.

    What the schedule says of the time until now is applied: between the end of a grant and the worker that
    writes it down nobody may spend it, and an admission reads the same.
    """
    due = sum(delta for at_ms, delta in changes(fields) if at_ms <= now_ms)
    return Wallet(
        settled=int(fields.get(b"balance", 0)) + due,
        granted=int(fields.get(b"granted", 0)),
        charged=int(fields.get(b"charged", 0)),
        held=sum(int(amount) for amount in holds),
    )
