"""Deliveries: taken once, told again while they are early, replayed by operators, forgotten in part."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence

from sqlalchemy.exc import SQLAlchemyError

from console_api.control.errors import Conflict, database_away
from console_api.control.outbox.relay import OUTAGES
from console_api.database.engine import Database, is_outage
from console_api.database.tables import WebhookDelivery
from console_api.payments import port
from console_api.payments.webhooks import repository
from console_api.payments.webhooks.models import Apply, NotApplied, Source, Status, Told
from console_api.payments.webhooks.pace import Pace
from kit.clock import Clock
from kit.problems import NotFound, Unavailable
from kit.settings import WebhookSettings

log = logging.getLogger(__name__)

_DAY_MS = 86_400_000
_FORGET_EVERY_MS = 3_600_000
_CHUNK = 100
_MAX_ERROR_CHARS = 500
_DONE = ("applied", "ignored")
_EARLY = "what it is about is not known yet"


class Deliveries:
    """The delivery log of one process. `sources`: the adapters of the providers that are set up."""

    def __init__(
        self,
        database: Database,
        sources: Sequence[Source],
        apply: Apply,
        settings: WebhookSettings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._sources = {source.name: source for source in sources}
        self._apply = apply
        self._settings = settings
        self._clock = clock
        self._pace = Pace(settings.max_per_minute, clock)
        #: Set when something was applied that others may have waited for.
        self._wake = asyncio.Event()
        self._forget_at_ms = 0

    def takes(self, provider: str) -> bool:
        return provider in self._sources

    def providers_of(self, tenant_id: str) -> list[str]:
        """Return the providers that deliver for that tenant alone."""
        return [name for name, source in self._sources.items() if source.tenant_id == tenant_id != ""]

    async def receive(self, provider: str, headers: Mapping[str, str], body: bytes) -> Status:
        """Take a delivery; return what became of it. A repeat of one that is done does nothing.

        Raises `BadSignature`, and `Unavailable` (also `TooFast`) or `NotApplied`, after which it should be
        sent again.
        """
        source = self._source(provider)
        try:
            told = await source.verified(headers, body)
        except port.Unavailable as error:
            raise _provider_away() from error
        self._pace.take(provider)
        try:
            known = await self._status(provider, told.event_id)
        except OUTAGES as error:
            raise _database_fault(error) from error
        return known if known in _DONE else await self._take(source, told)

    async def replay(self, provider: str, event_id: str) -> WebhookDelivery:
        """Tell a delivery again, whatever became of it; return its row. What took effect changes nothing.

        Raises `NotFound`, `Conflict` without its payload, `Unavailable` and `NotApplied`.
        """
        source = self._source(provider)
        async with self._database.reading() as session:
            row = await repository.one(session, provider, event_id)
        if row is None:
            raise NotFound("There is no such delivery; list them at /api/v1/webhooks/deliveries.")
        if not row.payload:
            raise Conflict("Its payload was deleted, being old; have the provider send it again.")
        await self._take(source, _told(row), again=True)
        async with self._database.reading() as session:
            row = await repository.one(session, provider, event_id)
        assert row is not None
        return row

    async def run(self) -> None:
        """Tell early deliveries again after others were applied, and now and then, for ever."""
        while True:
            self._wake.clear()
            try:
                await self.retell()
                await self.forget()
            except OUTAGES as error:
                log.warning("early deliveries wait", extra={"error": repr(error)})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.retell_every_s):
                    await self._wake.wait()

    async def retell(self) -> int:
        """Tell every early delivery once more, oldest first; return how many wait no longer."""
        settled, after = 0, (0, "", "")
        away: set[str] = set()
        while True:
            async with self._database.reading() as session:
                rows = await repository.waiting(session, after, _CHUNK)
            for row in rows:
                # A provider that is away is not asked for each of its deliveries.
                if row.provider in self._sources and row.provider not in away:
                    settled += await self._tell_again(row, away)
                after = (row.received_at_ms, row.provider, row.event_id)
            if len(rows) < _CHUNK:
                return settled

    async def forget(self) -> None:
        """Delete the payloads that were kept long enough, if an hour has passed since the last time."""
        now = self._clock()
        if now < self._forget_at_ms:
            return
        before = now - self._settings.keep_payloads_days * _DAY_MS
        forgotten = _CHUNK
        while forgotten == _CHUNK:
            async with self._database.writing() as session:
                forgotten = await repository.forget_payloads(session, before, _CHUNK)
        self._forget_at_ms = now + _FORGET_EVERY_MS

    async def _take(self, source: Source, told: Told, *, again: bool = False) -> Status:
        try:
            return await self._tell(source, told, again=again)
        except port.Unavailable as error:
            log.warning("a provider cannot be asked", extra={"provider": source.name, "error": str(error)})
            await self._note(source, told, "received", f"{source.name} could not be asked")
            raise _provider_away() from error
        except Exception as error:
            if isinstance(error, OUTAGES) and is_outage(error):
                raise _database_fault(error) from error
            await self._fault(source, told, error)
            raise NotApplied("It is kept in the log; send it again.") from error

    async def _tell(self, source: Source, told: Told, *, again: bool = False) -> Status:
        """Apply what a delivery means; return its new status. A delivery that is done is left alone."""
        # Before the transaction: the provider may be asked, and takes its time.
        facts = await source.facts(told)
        now = self._clock()
        async with self._database.writing() as session:
            await repository.add_if_new(session, source.name, told, now)
            row = await repository.one(session, source.name, told.event_id, lock=True)
            assert row is not None
            if row.status in _DONE and not again:
                return _status(row)
            outcomes = [await self._apply(session, fact, now_ms=now) for fact in facts]
            status = _together(outcomes)
            row.status, row.error = status, _EARLY if status == "received" else ""
            row.applied_at_ms = 0 if status == "received" else now
        if status == "applied":
            self._wake.set()
        return status

    async def _tell_again(self, row: WebhookDelivery, away: set[str]) -> bool:
        source = self._sources[row.provider]
        status: Status = "received"
        why = row.error or _EARLY
        try:
            status = await self._tell(source, _told(row))
            why = _EARLY
        except port.Unavailable as error:
            away.add(source.name)
            log.warning("a provider cannot be asked", extra={"provider": source.name, "error": str(error)})
        except Exception as error:
            if isinstance(error, OUTAGES) and is_outage(error):
                raise
            await self._fault(source, _told(row), error)
            return True
        if status != "received":
            return True
        age_ms = self._clock() - row.received_at_ms
        if age_ms <= self._settings.early_for_s * 1_000:
            return False
        await self._note(source, _told(row), "failed", f"given up after {age_ms // 1_000} s: {why}")
        return True

    async def _fault(self, source: Source, told: Told, error: Exception) -> None:
        log.error(
            "a delivery could not be applied",
            exc_info=error,
            extra={"provider": source.name, "event_id": told.event_id, "kind": told.kind},
        )
        await self._note(source, told, "failed", _reason(error))

    async def _note(self, source: Source, told: Told, status: Status, why: str) -> None:
        """Write down that a delivery was not applied, unless it was meanwhile."""
        try:
            async with self._database.writing() as session:
                await repository.add_if_new(session, source.name, told, self._clock())
                row = await repository.one(session, source.name, told.event_id, lock=True)
                assert row is not None
                if row.status not in _DONE:
                    row.status, row.error = status, why[:_MAX_ERROR_CHARS]
        except OUTAGES as error:
            raise _database_fault(error) from error

    async def _status(self, provider: str, event_id: str) -> Status | None:
        async with self._database.reading() as session:
            row = await repository.one(session, provider, event_id)
        return None if row is None else _status(row)

    def _source(self, provider: str) -> Source:
        source = self._sources.get(provider)
        if source is None:
            raise NotFound("That payment provider is not set up here.")
        return source


def _together(outcomes: Sequence[port.Outcome]) -> Status:
    if "early" in outcomes:
        return "received"
    return "applied" if "applied" in outcomes else "ignored"


def _status(row: WebhookDelivery) -> Status:
    status: Status = row.status  # type: ignore[assignment]
    return status


def _told(row: WebhookDelivery) -> Told:
    return Told(event_id=row.event_id, kind=row.kind, payload=row.payload)


def _reason(error: Exception) -> str:
    """Return what an operator may read: a statement's error would quote the buyer's data."""
    if isinstance(error, SQLAlchemyError):
        return f"{type(error).__name__}; the log says more"
    return f"{type(error).__name__}: {error}"


def _provider_away() -> Unavailable:
    return Unavailable("The payment provider cannot be asked; send it again.", headers={"Retry-After": "10"})


def _database_fault(error: Exception) -> Exception:
    """Return what is to be raised for a database error: a problem if it is an outage, else itself."""
    return database_away() if is_outage(error) else error
