"""Takes reports: checks them, and makes their events durable before it says so.

Order of effects, and what a crash in each gap costs:
  1. the rate is taken          — crash after: nothing; the sender repeats the report, and takes it again
  2. the calls are durable      — crash after: the run is charged and open; the repeated report closes it
  3. the closing event is, too
  4. the sender is told         — crash before: the sender repeats the report, which folds away
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway import metrics
from gateway.errors import Busy, LimitsUnavailable, MeteringUnavailable
from gateway.intake import models
from gateway.intake.errors import (
    EventInFuture,
    EventTooOld,
    IntakeRateLimited,
    InvalidEvent,
    NoPrices,
    NoTime,
    TooManyEvents,
)
from gateway.intake.events import Usage, times_of, usage_of
from gateway.intake.models import BatchResult, EventProblem, EventResult, ReportedRun
from gateway.keys import Caller, KeyDirectory
from gateway.rate_headers import seconds
from kit.clock import Clock
from kit.problems import Problem
from kit.publisher import Publisher
from kit.settings import IntakeSettings
from kit.spool import SpoolFull
from metering.price_schedule import PriceSchedule, version_at
from metering.windows import SKEW_FUTURE_MS
from schemas import keys, topics
from schemas.events import TokenEvent

_SCRIPT = Path(__file__).with_name("limit.lua").read_text()
#: Runs whose events are on their way to Kafka at once, of one request.
_AT_ONCE = 100


class Intake:
    """Turns reports into usage events. Raises the gateway's errors, and the intake's."""

    def __init__(
        self,
        redis: Redis,
        directory: KeyDirectory,
        publisher: Publisher,
        settings: IntakeSettings,
        clock: Clock,
    ) -> None:
        self._script = redis.register_script(_SCRIPT)
        self._directory = directory
        self._publisher = publisher
        self._settings = settings
        self._clock = clock
        self._working = 0

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Be one of the requests that are worked on at once. Raises `Busy`."""
        if self._working >= self._settings.max_concurrent_requests:
            raise Busy("repeat the request shortly: nothing of it was taken", headers={"Retry-After": "1"})
        self._working += 1
        try:
            yield
        finally:
            self._working -= 1

    async def take(self, caller: Caller, text: bytes | msgspec.Raw) -> None:
        """Take one report."""
        await self._admit(caller, 1)
        schedule = await self._directory.schedule(caller.key.tenant_id)
        await self._publish([await self._usage(caller, text, schedule)])

    async def take_all(self, caller: Caller, texts: list[msgspec.Raw]) -> BatchResult:
        """Take the reports that are valid, and say of each what became of it."""
        if len(texts) > self._settings.max_batch_events:
            raise TooManyEvents(f"send at most {self._settings.max_batch_events} events at once")
        if not texts:
            return BatchResult(accepted=0, rejected=0, results=())
        await self._admit(caller, len(texts))
        schedule = await self._directory.schedule(caller.key.tenant_id)
        results, taken = [], []
        for text in texts:
            try:
                usage = await self._usage(caller, text, schedule)
            except LimitsUnavailable:
                raise
            except Problem as problem:
                event_id, source = models.name_of(text)
                error = EventProblem(code=problem.code, detail=problem.detail)
                results.append(EventResult(status=422, id=event_id, source=source, error=error))
            else:
                event_id, source = models.name_of(text)
                results.append(
                    EventResult(status=202, id=event_id, source=source, run_id=usage.closing.run_id)
                )
                taken.append(usage)
        await self._publish(taken)
        metrics.INTAKE_REJECTED.inc(len(texts) - len(taken))
        return BatchResult(accepted=len(taken), rejected=len(texts) - len(taken), results=tuple(results))

    async def _usage(self, caller: Caller, text: bytes | msgspec.Raw, schedule: PriceSchedule) -> Usage:
        report = self._parsed(text)
        began_ms, ended_ms = self._times(report)
        version = version_at(schedule, began_ms)
        if version is None:
            raise NoPrices("the prices of that time are not known any more, or there were none")
        return usage_of(report, caller, await self._directory.book(version), began_ms, ended_ms)

    def _parsed(self, text: bytes | msgspec.Raw) -> ReportedRun:
        if len(memoryview(text)) > self._settings.max_event_bytes:
            raise InvalidEvent(f"an event has at most {self._settings.max_event_bytes} bytes")
        try:
            return models.event_of(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidEvent(str(error)) from None

    def _times(self, report: ReportedRun) -> tuple[int, int]:
        times, now = times_of(report), self._clock()
        if times is None:
            raise NoTime("set `time`, or `started_at` in the data: a repeated event has to say the same")
        began_ms, ended_ms = times
        if ended_ms > now + SKEW_FUTURE_MS:
            raise EventInFuture(f"the run would end {ended_ms - now} ms from now: set the clock right")
        if began_ms < now - self._settings.max_age_s * 1000:
            raise EventTooOld(
                f"reports are taken for {self._settings.max_age_s} s; have an operator charge older usage "
                "with `runmeter correct backfill`"
            )
        return began_ms, ended_ms

    async def _admit(self, caller: Caller, events: int) -> None:
        limit = self._settings.events_per_minute
        if not limit:
            return
        if events > limit:
            raise IntakeRateLimited(f"send at most {limit} events a minute", limit="events")
        key = keys.rate(caller.partition, caller.instance.instance_id, "events")
        try:
            wait_us = await self._script(keys=[key], args=[self._clock() * 1000, limit, events])
        except RedisError as error:
            raise LimitsUnavailable(headers={"Retry-After": "2"}) from error
        if wait_us:
            wait = max(1, seconds(wait_us))
            raise IntakeRateLimited(
                f"wait {wait} s: the events of this minute are used up",
                limit="events",
                headers={"Retry-After": str(wait)},
            )

    async def _publish(self, taken: list[Usage]) -> None:
        for start in range(0, len(taken), _AT_ONCE):
            try:
                await asyncio.gather(*(self._publish_run(usage) for usage in taken[start : start + _AT_ONCE]))
            except SpoolFull as error:
                raise MeteringUnavailable(
                    "repeat the request: what was taken of it already counts once",
                    headers={"Retry-After": "5"},
                ) from error
        metrics.INTAKE_ACCEPTED.inc(len(taken))

    async def _publish_run(self, usage: Usage) -> None:
        publish, org_id = self._publisher.publish, usage.closing.org_id
        await asyncio.gather(
            *(
                publish(topics.TOKENS if isinstance(call, TokenEvent) else topics.TOOL_CALLS, org_id, call)
                for call in usage.calls
            )
        )
        await publish(topics.RUNS, org_id, usage.closing)
