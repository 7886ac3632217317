"""Buckets of credits in burn order, and the debt of what none of them could pay.

`Draft` is the mutable middle of a wallet's transition: `metering.wallet` opens one, does one command and
closes it. Every change of a bucket or of the debt makes its movement here, so the movements are the ledger.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct

from schemas.events import GrantKind

MovementKind = Literal["grant", "usage", "adjustment", "expiry", "rollover", "void", "refund"]
Movements = tuple["Movement", ...]

#: The bucket id of the wallet's debt in movements.
DEBT: Final = ""
#: Takes what a lowered charge gives back when the bucket that paid is gone.
RETURNED: Final = "returned"
#: Ends the id of what rolled over from a grant.
ROLLED: Final = "~1"
#: Grants burn below it, `RETURNED` at it: credits for ever are spent last.
LAST_PRIORITY: Final = 1_000
#: Empty buckets are kept only because a lowered charge may refill them: at most so many, the last to burn.
KEPT_EMPTY: Final = 4

#: Of so many grants a wallet knows how much expired or was voided, the latest to.
KEPT_LAPSED: Final = 32

_NEVER = 1 << 62


class Bucket(Struct, frozen=True, array_like=True, gc=False):
    """Credits of one grant, usable from `effective_at_ms` until just before `expires_at_ms` (0: for ever).

    `granted_micro` is the most it may hold: a refund lowers it, so that a later correction cannot refill
    what was paid back.
    """

    bucket_id: str
    kind: GrantKind
    priority: int
    effective_at_ms: int
    expires_at_ms: int
    granted_micro: int
    remaining_micro: int
    rollover_cap_micro: int = 0
    rollover_ms: int = 0


class Movement(Struct, frozen=True, array_like=True, gc=False):
    """A signed change of one bucket, or of the debt. A bucket that pays debt is a pair of kind `usage`."""

    kind: MovementKind
    bucket_id: str
    amount_micro: int


def _burn_order(bucket: Bucket) -> tuple[int, int, int, str]:
    return bucket.priority, bucket.expires_at_ms or _NEVER, bucket.effective_at_ms, bucket.bucket_id


def due_at_ms(buckets: Iterable[Bucket], debt: int) -> int | None:
    """Return the first moment at which time alone changes one of the buckets; None if it never does."""
    due_ms = _NEVER
    for bucket in buckets:
        # While there is debt, credits that remain are not effective yet, and pay it before they can expire.
        at_ms = bucket.effective_at_ms if debt and bucket.remaining_micro else bucket.expires_at_ms
        if 0 < at_ms < due_ms:
            due_ms = at_ms
    return due_ms if due_ms < _NEVER else None


class Draft:
    """Buckets and debt being rewritten at one moment, with the movements made so far."""

    __slots__ = ("_moved", "buckets", "debt", "expired", "lapsed", "now_ms")

    def __init__(
        self, buckets: Iterable[Bucket], debt: int, now_ms: int, lapsed: tuple[tuple[str, int], ...] = ()
    ) -> None:
        self.buckets = list(buckets)
        self.debt = debt
        self.now_ms = now_ms
        self.lapsed = lapsed
        self.expired = 0
        self._moved: list[Movement] = []

    def take(self) -> Movements:
        """Return the movements since the last call."""
        moved, self._moved = tuple(self._moved), []
        return moved

    def advance(self, to_ms: int) -> None:
        """Go moment by moment, so that it does not matter how often somebody looked in between."""
        if to_ms <= self.now_ms:
            return
        while (due_ms := due_at_ms(self.buckets, self.debt)) is not None and due_ms <= to_ms:
            self.now_ms = due_ms
            self.settle()
        self.now_ms = to_ms

    def settle(self) -> None:
        """Do what is due now: expire and roll over, then let effective credits pay the debt."""
        while due := [bucket for bucket in self.buckets if 0 < bucket.expires_at_ms <= self.now_ms]:
            for bucket in due:
                self._expire(bucket)
        place, _, remaining = self.head()
        while self.debt and place >= 0:
            paid = min(self.debt, remaining)
            self._owe("usage", -paid)
            self.change("usage", place, -paid)
            place, _, remaining = self.head()
        self.forget()

    def place_of(self, grant_id: str) -> int | None:
        """Return where the grant is. It is in one place at most: what rolls over replaces its bucket."""
        ids = (grant_id, grant_id + ROLLED)
        for place, bucket in enumerate(self.buckets):
            if bucket.bucket_id in ids:
                return place
        return None

    def head(self) -> tuple[int, str, int]:
        """Return place, id and remainder of the bucket that burns first; place -1 if none can pay."""
        for place, bucket in enumerate(self.buckets):
            if bucket.remaining_micro and bucket.effective_at_ms <= self.now_ms:
                return place, bucket.bucket_id, bucket.remaining_micro
        return -1, DEBT, 0

    def add(self, kind: MovementKind, bucket: Bucket) -> None:
        self._moved.append(Movement(kind, bucket.bucket_id, bucket.remaining_micro))
        insort(self.buckets, bucket, key=_burn_order)

    def change(self, kind: MovementKind, place: int, amount: int, granted: int | None = None) -> None:
        """Move `amount` into the bucket (out of it, if negative)."""
        bucket = self.buckets[place]
        if amount:
            self._moved.append(Movement(kind, bucket.bucket_id, amount))
        self.leave(place, bucket.remaining_micro + amount, granted)

    def leave(self, place: int, remaining: int, granted: int | None = None) -> None:
        """Set what remains in the bucket; whoever calls this has made the movement."""
        bucket = self.buckets[place]
        self.buckets[place] = Bucket(
            bucket.bucket_id,
            bucket.kind,
            bucket.priority,
            bucket.effective_at_ms,
            bucket.expires_at_ms,
            bucket.granted_micro if granted is None else granted,
            remaining,
            bucket.rollover_cap_micro,
            bucket.rollover_ms,
        )

    def burn(self, kind: MovementKind, amount: int) -> None:
        """Take `amount` from effective buckets in burn order; owe the rest."""
        while amount:
            place, _, remaining = self.head()
            if place < 0:
                self._owe(kind, amount)
                break
            paid = min(amount, remaining)
            self.change(kind, place, -paid)
            amount -= paid
        self.forget()

    def give_back(self, amount: int) -> None:
        """Pay debt, refill effective buckets from the last to burn, and put the rest into `RETURNED`."""
        if paid := min(amount, self.debt):
            self._owe("adjustment", -paid)
            amount -= paid
        for place in reversed(range(len(self.buckets))):
            bucket = self.buckets[place]
            # One that is not effective yet has never burnt, so it has no room.
            if room := min(amount, bucket.granted_micro - bucket.remaining_micro):
                self.change("adjustment", place, room)
                amount -= room
        if amount:
            self._return(amount)

    def lapse(self, grant_id: str, amount: int) -> None:
        """Note that so much of a grant is gone unspent (came back, if negative), the latest last."""
        known = dict(self.lapsed)
        known[grant_id] = known.pop(grant_id, 0) + amount
        self.lapsed = tuple(entry for entry in known.items() if entry[1])[-KEPT_LAPSED:]

    def lapsed_of(self, grant_id: str) -> int:
        """Return how much of a grant expired or was voided, as far as it is known."""
        return dict(self.lapsed).get(grant_id, 0)

    def forget(self) -> None:
        """Drop empty buckets, but not the `KEPT_EMPTY` last to burn that may be refilled."""
        empty = [bucket for bucket in self.buckets if not bucket.remaining_micro]
        kept = [bucket for bucket in empty if bucket.granted_micro][-KEPT_EMPTY:]
        if len(kept) < len(empty):
            self.buckets = [bucket for bucket in self.buckets if bucket.remaining_micro or bucket in kept]

    def _owe(self, kind: MovementKind, amount: int) -> None:
        self.debt += amount
        self._moved.append(Movement(kind, DEBT, -amount))

    def _return(self, amount: int) -> None:
        place = self.place_of(RETURNED)
        if place is None:
            bucket = Bucket(RETURNED, "correction", LAST_PRIORITY, self.now_ms, 0, amount, amount)
            self.add("adjustment", bucket)
        else:
            self.change("adjustment", place, amount, self.buckets[place].granted_micro + amount)

    def _expire(self, bucket: Bucket) -> None:
        self.buckets.remove(bucket)
        rolled = min(bucket.remaining_micro, bucket.rollover_cap_micro)
        lost = bucket.remaining_micro - rolled
        if rolled:
            self._moved.append(Movement("rollover", bucket.bucket_id, -rolled))
            since_ms = bucket.expires_at_ms
            # Without a cap of its own: credits roll over once.
            renewed = Bucket(
                bucket.bucket_id + ROLLED,
                bucket.kind,
                bucket.priority,
                since_ms,
                since_ms + bucket.rollover_ms,
                rolled,
                rolled,
            )
            self.add("rollover", renewed)
        if lost:
            self.expired += lost
            self.lapse(bucket.bucket_id.removesuffix(ROLLED), lost)
            self._moved.append(Movement("expiry", bucket.bucket_id, -lost))
