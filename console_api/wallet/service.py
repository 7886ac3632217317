"""An org's credits as numbers for people and for programs."""

from __future__ import annotations

from itertools import accumulate

from console_api.auth.models import Principal
from console_api.counters import Wallet
from console_api.money import wire
from console_api.stores import Stores
from console_api.wallet import repository
from console_api.wallet.models import MAX_BUCKETS, Reading, WalletDetail
from metering.wallet import ROLLED, Bucket

AMOUNTS = ("settled", "held", "available", "granted", "charged")


def wire_amounts(wallet: Wallet) -> dict[str, int | str]:
    """Return each amount twice: a decimal string and `<name>_micro`."""
    return wire(**{name: getattr(wallet, name) for name in AMOUNTS})


async def detail(stores: Stores, principal: Principal) -> WalletDetail:
    """Return the org's wallet now. Raises `RedisError`."""
    found = await repository.reading(stores, principal.tenant_id, principal.org_id)
    left = [bucket for bucket in found.buckets if bucket.remaining_micro]
    return WalletDetail.model_validate(
        {
            "org_id": principal.org_id,
            "read_at_ms": stores.clock(),
            **wire_amounts(found.credits),
            **wire(
                expired=found.expired + found.overdue,
                voided=found.voided,
                refunded=found.refunded,
                debt=max(0, -found.credits.settled),
            ),
            "version": found.version,
            "buckets": [_bucket(bucket) for bucket in left[:MAX_BUCKETS]],
            "more_buckets": max(0, len(left) - MAX_BUCKETS),
            "schedule": _schedule(found),
        }
    )


def _bucket(bucket: Bucket) -> dict[str, object]:
    return {
        "grant_id": bucket.bucket_id.removesuffix(ROLLED),
        "kind": bucket.kind,
        "priority": bucket.priority,
        **wire(
            granted=bucket.granted_micro,
            remaining=bucket.remaining_micro,
            rolls_over=min(bucket.remaining_micro, bucket.rollover_cap_micro),
        ),
        "effective_at_ms": bucket.effective_at_ms,
        "expires_at_ms": bucket.expires_at_ms or None,
        "rolled_over": bucket.bucket_id.endswith(ROLLED),
    }


def _schedule(found: Reading) -> list[dict[str, object]]:
    deltas = [delta for _, delta in found.upcoming]
    balances = accumulate(deltas, initial=found.credits.settled)
    next(balances)
    return [
        {"at_ms": at_ms, **wire(delta=delta, balance_after=after)}
        for (at_ms, delta), after in zip(found.upcoming, balances, strict=True)
    ]
