"""The one way into a run: credits are checked and reserved in one Redis call."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, cast

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.errors import IdempotencyConflict, InsufficientCredits, LimitsUnavailable
from gateway.keys import Caller
from kit.clock import Clock
from kit.settings import GatewaySettings
from metering.prices import MICRO_PER_CREDIT
from schemas import keys
from schemas.directory import RunLease

_SCRIPT = (Path(__file__).parent / "admit.lua").read_text()


@dataclass(frozen=True, slots=True)
class Admission:
    """`repeat`: an earlier request with the same Idempotency-Key made `run_id`, which answers this one."""

    outcome: Literal["admitted", "repeat"]
    run_id: str


class AdmissionControl:
    """Reserves credits for runs and keeps their leases alive."""

    def __init__(self, redis: Redis, settings: GatewaySettings, clock: Clock) -> None:
        self._redis = redis
        self._settings = settings
        self._clock = clock
        self._script = redis.register_script(_SCRIPT)

    async def admit(
        self, caller: Caller, lease: RunLease, hold_micro: int, idempotency_key: str, body: bytes
    ) -> Admission:
        """Reserve `hold_micro` for the run, or raise `InsufficientCredits`, `IdempotencyConflict` or
        `LimitsUnavailable`."""
        p, now = caller.partition, self._clock()
        record = keys.idempotency(p, lease.instance_id, idempotency_key)
        try:
            reply = cast(
                list[Any],
                await self._script(
                    keys=[
                        keys.wallet(p, lease.org_id),
                        keys.holds(p, lease.org_id),
                        keys.leases(p),
                        keys.lease(p, lease.run_id),
                        record,
                    ],
                    args=[
                        lease.run_id,
                        hold_micro,
                        msgspec.json.encode(lease),
                        now,
                        now + self._settings.lease_ms,
                        self._settings.run_timeout_ms + 3_600_000,
                        sha256(body).hexdigest() if idempotency_key else "",
                        self._settings.answer_ttl_s,
                        keys.answer(p, ""),
                    ],
                ),
            )
        except RedisError as error:
            raise LimitsUnavailable(headers={"Retry-After": "2"}) from error
        return self._outcome(reply, lease, hold_micro)

    def _outcome(self, reply: list[Any], lease: RunLease, hold_micro: int) -> Admission:
        match reply[0]:
            case b"admitted":
                return Admission("admitted", lease.run_id)
            case b"repeat":
                return Admission("repeat", reply[1].decode())
            case b"conflict":
                raise IdempotencyConflict("send the same body, or choose a new Idempotency-Key")
            case _:
                available = max(0, int(reply[1]))
                raise InsufficientCredits(
                    "top up the wallet, or ask for fewer tokens with max_tokens",
                    reason="insufficient_credits",
                    limit_source="org_wallet",
                    available_credits=as_credits(available),
                    needed_credits=as_credits(hold_micro),
                )

    async def renew(self, runs: list[tuple[int, str]]) -> None:
        """Extend the leases of `(partition, run id)`s that this gateway still works on."""
        until = self._clock() + self._settings.lease_ms
        async with self._redis.pipeline(transaction=False) as pipe:
            for partition, run_id in runs:
                pipe.zadd(keys.leases(partition), {run_id: until}, xx=True)
            await pipe.execute()


def as_credits(micro: int) -> str:
    """Return micro-credits as a decimal string of credits."""
    sign = "-" if micro < 0 else ""
    whole, part = divmod(abs(micro), MICRO_PER_CREDIT)
    return f"{sign}{whole}.{part:06d}"
