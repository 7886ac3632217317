"""The one way into a run: limits are checked and credits reserved in one Redis call."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, cast

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway import metrics, refusals
from gateway.errors import IdempotencyConflict, InsufficientCredits, LimitsUnavailable
from gateway.keys import Caller
from gateway.metrics import LimitSource
from gateway.quotes import Quote
from gateway.rate_headers import rate_headers
from kit.clock import Clock
from kit.settings import GatewaySettings
from metering.windows import start_of
from schemas import keys
from schemas.directory import RunLease

log = logging.getLogger(__name__)

_FOLDER = Path(__file__).parent
_PAYABLE = (_FOLDER / "payable.lua").read_text()
_ADMIT = _PAYABLE + (_FOLDER / "admit.lua").read_text()
_EXTEND = _PAYABLE + (_FOLDER / "extend.lua").read_text()


@dataclass(frozen=True, slots=True)
class Admission:
    """What became of a request to run.

    `repeat`: an earlier request with the same Idempotency-Key made `run_id`, which answers this one.
    `unchecked`: Redis is away and the plan lets the instance run all the same; nothing is held.
    """

    outcome: Literal["admitted", "repeat", "unchecked"]
    run_id: str
    held_micro: int = 0
    available_micro: int = 0
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Addition:
    """What a run may hold for its next step: the least that is of use, all it could use, and the usual."""

    minimum: int
    wanted: int
    typical: int | None


@dataclass(frozen=True, slots=True)
class NotExtended:
    """Why a hold could not grow. `gone`: the run was closed meanwhile."""

    source: LimitSource | Literal["gone"]
    available_micro: int = 0


class AdmissionControl:
    """Reserves credits for runs and keeps their leases alive."""

    def __init__(self, redis: Redis, settings: GatewaySettings, clock: Clock) -> None:
        self._redis = redis
        self._settings = settings
        self._clock = clock
        self._admit = redis.register_script(_ADMIT)
        self._extend = redis.register_script(_EXTEND)

    async def admit(
        self, caller: Caller, lease: RunLease, quote: Quote, idempotency_key: str, body: bytes
    ) -> Admission:
        """Reserve what the run may cost, or raise `InsufficientCredits`, `RateLimited`, `TooManyRuns`,
        `IdempotencyConflict` or `LimitsUnavailable`."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            reply = await self._ask_to_admit(caller, lease, quote, idempotency_key, body)
        except RedisError as error:
            return self._away(caller, lease, error)
        finally:
            metrics.ADMISSION_SECONDS.observe(loop.time() - began)
        return self._outcome(reply, caller, lease, quote)

    async def _ask_to_admit(
        self, caller: Caller, lease: RunLease, quote: Quote, idempotency_key: str, body: bytes
    ) -> list[Any]:
        p, now, limits = caller.partition, self._clock(), caller.instance.limits
        reply = await self._admit(
            keys=[
                *_credit_keys(caller, lease),
                keys.leases(p),
                keys.lease(p, lease.run_id),
                keys.idempotency(p, lease.instance_id, idempotency_key),
                keys.rate(p, lease.instance_id, "requests"),
                keys.rate(p, lease.instance_id, "tokens"),
            ],
            args=[
                *_credit_arguments(caller, lease, now),
                msgspec.json.encode(lease),
                now + self._settings.lease_ms,
                sha256(body).hexdigest() if idempotency_key else "",
                self._settings.answer_ttl_s,
                keys.answer(p, ""),
                quote.minimum,
                quote.wanted,
                "" if quote.typical is None else quote.typical,
                "" if quote.tight is None else quote.tight,
                quote.input_tokens,
                quote.least_output,
                quote.output,
                limits.requests_per_minute,
                limits.tokens_per_minute,
                limits.max_concurrent_runs,
            ],
        )
        return cast(list[Any], reply)

    def _away(self, caller: Caller, lease: RunLease, error: RedisError) -> Admission:
        """Redis is away: what the plan says decides. The run is metered in any case."""
        if not caller.instance.limits.fail_open:
            metrics.ADMISSIONS["unavailable"].inc()
            raise LimitsUnavailable(headers={"Retry-After": "2"}) from error
        metrics.ADMISSIONS["unchecked"].inc()
        metrics.FAIL_OPEN.inc()
        log.warning(
            "admitted unchecked",
            extra={"run_id": lease.run_id, "org_id": lease.org_id, "error": repr(error)},
        )
        return Admission("unchecked", lease.run_id)

    def _outcome(self, reply: list[Any], caller: Caller, lease: RunLease, quote: Quote) -> Admission:
        outcome = reply[0].decode()
        metrics.ADMISSIONS[cast(metrics.Outcome, outcome)].inc()
        match outcome:
            case "admitted":
                headers = rate_headers(caller.instance.limits, reply[3:])
                return Admission("admitted", lease.run_id, reply[1], reply[2], headers)
            case "repeat":
                return Admission("repeat", reply[1].decode())
            case "conflict":
                raise IdempotencyConflict("send the same body, or choose a new Idempotency-Key")
            case "rated":
                raise refusals.rated(caller, reply[1].decode(), reply[2], reply[3:])
            case "concurrency":
                raise refusals.too_many_runs(caller)
            case _:
                raise self._insufficient(reply, caller, lease, quote)

    def _insufficient(
        self, reply: list[Any], caller: Caller, lease: RunLease, quote: Quote
    ) -> InsufficientCredits:
        source = cast(LimitSource, reply[1].decode())
        metrics.REFUSED_HOLDS[source].inc()
        return refusals.insufficient(
            caller, lease.model, quote, source=source, available=reply[2], now_ms=self._clock()
        )

    async def extend(self, caller: Caller, lease: RunLease, addition: Addition) -> int | NotExtended:
        """Reserve more for a run in flight; return how much was added. Raises `RedisError`."""
        now = self._clock()
        reply = cast(
            list[Any],
            await self._extend(
                keys=_credit_keys(caller, lease),
                args=[
                    *_credit_arguments(caller, lease, now),
                    max(0, addition.minimum),
                    max(0, addition.wanted),
                    "" if addition.typical is None else max(0, addition.typical),
                ],
            ),
        )
        match reply[0]:
            case b"extended":
                return int(reply[1])
            case b"gone":
                return NotExtended("gone")
            case _:
                source = cast(LimitSource, reply[1].decode())
                metrics.REFUSED_HOLDS[source].inc()
                return NotExtended(source, reply[2])

    async def renew(self, runs: list[tuple[int, str]]) -> None:
        """Extend the leases of `(partition, run id)`s that this gateway still works on."""
        until = self._clock() + self._settings.lease_ms
        async with self._redis.pipeline(transaction=False) as pipe:
            for partition, run_id in runs:
                pipe.zadd(keys.leases(partition), {run_id: until}, xx=True)
            await pipe.execute()


def _credit_keys(caller: Caller, lease: RunLease) -> list[str]:
    # A run counts where it began, as the metering worker counts it, however long it takes.
    started_ms = lease.started_at_ms
    p, org_id, instance_id = caller.partition, lease.org_id, lease.instance_id
    return [
        keys.wallet(p, org_id),
        keys.holds(p, org_id),
        keys.held_by_instance(p, org_id),
        keys.running(p, instance_id),
        keys.counter(p, instance_id, "day", start_of("day", started_ms)),
        keys.counter(p, instance_id, "month", start_of("month", started_ms)),
    ]


def _credit_arguments(caller: Caller, lease: RunLease, now_ms: int) -> list[str | int]:
    limits = caller.instance.limits
    return [
        lease.run_id,
        lease.instance_id,
        now_ms,
        limits.daily_cap_micro,
        limits.monthly_cap_micro,
        limits.overage_micro if limits.soft else 0,
    ]
