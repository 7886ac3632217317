"""An organisation's wallet: what it may spend, what that costs it, and what time and corrections do to it.

Owns: which credits pay, when they expire, what a correction or a refund gives back or takes. Does not own:
whether a command was applied before (callers deduplicate by id), prices, holds, storage.

Every transition is `(wallet, command, as_of_ms) -> (wallet', movements)`. It first brings the wallet to
`max(wallet.as_of_ms, as_of_ms)`, so time never goes back and a late command acts now, not in the past. What
always holds, the movements being all that were ever returned for the wallet:

* Of each bucket, the movements sum to what remains in it; those of the debt sum to minus the debt.
* `granted - charged - expired - voided - refunded == sum of remaining - debt`.
* `0 <= remaining <= granted` in each bucket; there is debt only while no effective bucket has anything left.
* Where time is cut does not matter: `advance` to a, then to b, ends and moves as `advance` to b alone.

Money is integer micro-credits, time Unix milliseconds. No clock, no float.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from msgspec import Struct

from metering.burn import (
    DEBT,
    KEPT_EMPTY,
    LAST_PRIORITY,
    RETURNED,
    ROLLED,
    Bucket,
    Draft,
    Movement,
    MovementKind,
    Movements,
    due_at_ms,
)
from schemas.events import GrantKind

__all__ = [
    "DEBT",
    "KEPT_EMPTY",
    "LAST_PRIORITY",
    "RETURNED",
    "ROLLED",
    "Bucket",
    "Change",
    "Grant",
    "Movement",
    "MovementKind",
    "Movements",
    "Wallet",
    "advance",
    "balance",
    "charge",
    "charge_many",
    "issue",
    "next_due_ms",
    "refund",
    "schedule",
    "void",
]

#: `(at_ms, delta_micro)`: what the balance changes by at a moment, without a command.
Change = tuple[int, int]


class Grant(Struct, frozen=True):
    """Credits to be given. Of what is left at expiry, up to `rollover_cap_micro` lasts `rollover_ms` longer.

    `expires_at_ms` 0 is never; a lower `priority` burns first. Raises `ValueError` if it makes no sense.
    """

    grant_id: str
    kind: GrantKind
    amount_micro: int
    priority: int
    effective_at_ms: int
    expires_at_ms: int
    rollover_cap_micro: int = 0
    rollover_ms: int = 0

    def __post_init__(self) -> None:
        if self.grant_id in (DEBT, RETURNED) or self.grant_id.endswith(ROLLED):
            raise ValueError(f"grant id {self.grant_id!r} is reserved: choose another")
        if self.amount_micro < 1:
            raise ValueError("a grant gives at least one micro-credit")
        if not 0 <= self.priority < LAST_PRIORITY:
            raise ValueError(f"a grant's priority is from 0 to {LAST_PRIORITY - 1}")
        if self.effective_at_ms < 0 or 0 != self.expires_at_ms <= self.effective_at_ms:
            raise ValueError("a grant expires after it becomes effective, or never (0)")
        if self.rollover_cap_micro < 0 or self.rollover_ms < 0:
            raise ValueError("a rollover's cap and time are not negative")
        # Zero would read as "never expires".
        if self.rollover_cap_micro and not self.rollover_ms:
            raise ValueError("what rolls over lasts some time: set rollover_ms")


class Wallet(Struct, frozen=True, array_like=True):
    """Buckets in burn order (priority, expiry, age, id), debt, and running totals.

    `charged_micro` is net of corrections. `as_of_ms` is the latest moment it was brought to. `lapsed`: what
    expired or was voided of a grant, so that a refund does not take it a second time.
    """

    buckets: tuple[Bucket, ...] = ()
    debt_micro: int = 0
    granted_micro: int = 0
    charged_micro: int = 0
    expired_micro: int = 0
    voided_micro: int = 0
    refunded_micro: int = 0
    as_of_ms: int = 0
    lapsed: tuple[tuple[str, int], ...] = ()


def advance(wallet: Wallet, as_of_ms: int) -> tuple[Wallet, Movements]:
    """Do what time alone does until `as_of_ms`: expiries, rollovers, debt paid by credits now effective."""
    draft = _open(wallet, as_of_ms)
    return _close(wallet, draft), draft.take()


def issue(wallet: Wallet, grant: Grant, as_of_ms: int) -> tuple[Wallet, Movements]:
    """Add the grant's credits. If they are effective they pay debt first; if already expired they expire.

    A grant that is still in the wallet moves nothing: a forgetful caller must not give credits twice.
    """
    draft = _open(wallet, as_of_ms)
    if draft.place_of(grant.grant_id) is not None:
        return _close(wallet, draft), draft.take()
    bucket = Bucket(
        grant.grant_id,
        grant.kind,
        grant.priority,
        grant.effective_at_ms,
        grant.expires_at_ms,
        grant.amount_micro,
        grant.amount_micro,
        grant.rollover_cap_micro,
        grant.rollover_ms,
    )
    draft.add("grant", bucket)
    draft.settle()
    return _close(wallet, draft, granted=grant.amount_micro), draft.take()


def charge(wallet: Wallet, amount_micro: int, as_of_ms: int) -> tuple[Wallet, Movements]:
    """Burn a positive amount in burn order, the rest becoming debt; give a negative one back.

    What is given back pays debt, then refills effective buckets, last to burn first; what finds no room there
    never expires any more, in `RETURNED`.
    """
    charged, batch = charge_many(wallet, (amount_micro,), as_of_ms)
    return charged, batch[0]


def charge_many(wallet: Wallet, amounts: Sequence[int], as_of_ms: int) -> tuple[Wallet, list[Movements]]:
    """`charge` each amount in order and return the movements of each; the first has those of time, too."""
    if not amounts:
        return wallet, []
    draft = _open(wallet, as_of_ms)
    due = draft.take()
    batch: list[Movements] = []
    place, bucket_id, left = draft.head()
    for amount in amounts:
        # The usual case: one bucket pays all and keeps something. It is written back when that ends.
        if 0 < amount < left:
            left -= amount
            batch.append((Movement("usage", bucket_id, -amount),))
            continue
        if place >= 0:
            draft.leave(place, left)
        if amount > 0:
            draft.burn("usage", amount)
        else:
            draft.give_back(-amount)
        batch.append(draft.take())
        place, bucket_id, left = draft.head()
    if place >= 0:
        draft.leave(place, left)
    if due:
        batch[0] = due + batch[0]
    return _close(wallet, draft, charged=sum(amounts)), batch


def void(wallet: Wallet, grant_id: str, as_of_ms: int) -> tuple[Wallet, Movements]:
    """Take away what is left of a grant or of what rolled over from it. An unknown grant moves nothing."""
    draft = _open(wallet, as_of_ms)
    place, voided = draft.place_of(grant_id), 0
    if place is not None:
        voided = draft.buckets[place].remaining_micro
        # Nothing may refill it either, so it is forgotten.
        draft.change("void", place, -voided, granted=0)
        if voided:
            draft.lapse(grant_id, voided)
        draft.forget()
    return _close(wallet, draft, voided=voided), draft.take()


def refund(wallet: Wallet, grant_id: str, amount_micro: int, as_of_ms: int) -> tuple[Wallet, Movements]:
    """Claw back credits whose money was returned: from the grant itself, the rest as a charge would burn.

    Hence what was already spent becomes debt once no effective bucket can pay it. What had expired or been
    voided of the grant is gone already, and not taken again. A wallet forgets spent grants, so an unknown one
    counts as spent; that no grant is refunded twice or beyond its amount is the caller's to know. Raises
    `ValueError` unless the amount is positive.
    """
    if amount_micro < 1:
        raise ValueError("a refund takes at least one micro-credit")
    draft = _open(wallet, as_of_ms)
    place, taken = draft.place_of(grant_id), 0
    if place is not None:
        bucket = draft.buckets[place]
        taken = min(amount_micro, bucket.remaining_micro)
        draft.change("refund", place, -taken, granted=max(bucket.granted_micro - amount_micro, 0))
    if spared := min(amount_micro - taken, draft.lapsed_of(grant_id)):
        draft.lapse(grant_id, -spared)
    draft.burn("refund", amount_micro - taken - spared)
    return _close(wallet, draft, refunded=amount_micro - spared), draft.take()


def balance(wallet: Wallet, at_ms: int) -> int:
    """Return what may be spent at `at_ms`, negative in debt; exact if nothing rolls over until then."""
    usable = sum(
        bucket.remaining_micro
        for bucket in wallet.buckets
        if bucket.effective_at_ms <= at_ms and not 0 < bucket.expires_at_ms <= at_ms
    )
    return usable - wallet.debt_micro


def schedule(wallet: Wallet, limit: int = 8) -> tuple[int, tuple[Change, ...]]:
    """Return the balance at `as_of_ms` and the next `limit` changes that time alone makes to it.

    The balance plus the deltas up to a moment is the balance at that moment, if no command comes. When there
    are more changes, the last listed one leads to the *lowest* balance from its moment on instead: before it
    the sum is exact, from it on never too high. Raises `ValueError` if `limit` is below one.
    """
    if limit < 1:
        raise ValueError("a schedule lists at least one change")
    current, debt = -wallet.debt_micro, wallet.debt_micro
    deltas: dict[int, int] = {}
    # Credits pay the debt in the order in which they become effective, and what paid it will not expire.
    for bucket in sorted(wallet.buckets, key=lambda bucket: bucket.effective_at_ms):
        left = bucket.remaining_micro
        if bucket.effective_at_ms <= wallet.as_of_ms:
            current += left
        else:
            _plus(deltas, bucket.effective_at_ms, left)
            paid = min(debt, left)
            debt -= paid
            left -= paid
        if bucket.expires_at_ms:
            rolled = min(left, bucket.rollover_cap_micro)
            _plus(deltas, bucket.expires_at_ms, rolled - left)
            _plus(deltas, bucket.expires_at_ms + bucket.rollover_ms, -rolled)
    changes = sorted(change for change in deltas.items() if change[1])
    if len(changes) > limit:
        lowest = min(accumulate(delta for _, delta in changes[limit - 1 :]))
        changes[limit - 1 :] = [(changes[limit - 1][0], lowest)]
    return current, tuple(changes)


def next_due_ms(wallet: Wallet) -> int:
    """Return the first moment at which `advance` makes a movement; 0 if it never does."""
    return due_at_ms((bucket for bucket in wallet.buckets if bucket.remaining_micro), wallet.debt_micro) or 0


def _plus(deltas: dict[int, int], at_ms: int, delta: int) -> None:
    deltas[at_ms] = deltas.get(at_ms, 0) + delta


def _open(wallet: Wallet, as_of_ms: int) -> Draft:
    draft = Draft(wallet.buckets, wallet.debt_micro, wallet.as_of_ms, wallet.lapsed)
    draft.advance(as_of_ms)
    return draft


def _close(
    wallet: Wallet, draft: Draft, *, granted: int = 0, charged: int = 0, voided: int = 0, refunded: int = 0
) -> Wallet:
    return Wallet(
        tuple(draft.buckets),
        draft.debt,
        wallet.granted_micro + granted,
        wallet.charged_micro + charged,
        wallet.expired_micro + draft.expired,
        wallet.voided_micro + voided,
        wallet.refunded_micro + refunded,
        draft.now_ms,
        draft.lapsed,
    )
