"""A report as the usage events of one run. Pure: the same report gives the same events, whenever it comes."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import msgspec

from gateway.intake.models import ReportedRun
from gateway.keys import Caller
from metering.closing import run_event
from metering.prices import PriceBook, cost
from metering.runs import fold
from metering.totals import COUNTERS, totals_of
from schemas.directory import RunLease
from schemas.events import RunEvent, TokenEvent, ToolCallEvent, owner_of


@dataclass(frozen=True, slots=True)
class Usage:
    """What a report says was used, and the event that closes its run."""

    calls: tuple[TokenEvent | ToolCallEvent, ...]
    closing: RunEvent


def run_id_of(org_id: str, source: str, event_id: str) -> str:
    """Return the run that a report is about: the same one as late usage from a file would make."""
    named = msgspec.json.encode([org_id, source, event_id])
    return f"run_{sha256(named).hexdigest()[:26]}"


def times_of(report: ReportedRun) -> tuple[int, int] | None:
    """Return when the run began and ended, in Unix ms; `None` if the report does not say."""
    duration = report.data.duration_ms
    if report.data.started_at is not None:
        began = round(report.data.started_at.timestamp() * 1000)
        return began, began + duration
    if report.time is None:
        return None
    ended = round(report.time.timestamp() * 1000)
    return ended - duration, ended


def usage_of(report: ReportedRun, caller: Caller, book: PriceBook, began_ms: int, ended_ms: int) -> Usage:
    """Return the events of the report's run, priced by `book`."""
    key, data = caller.key, report.data
    lease = RunLease(
        tenant_id=key.tenant_id,
        org_id=key.org_id,
        instance_id=key.instance_id,
        run_id=run_id_of(key.org_id, report.source, report.id),
        channel="intake",
        key_id=key.key_id,
        price_version=book.version,
        started_at_ms=began_ms,
        model=data.model,
        streamed=False,
    )
    calls = _calls(report, lease, ended_ms)
    state = fold(None, [(call, False) for call in calls])
    totals = dict(zip(COUNTERS, totals_of(state, cost(state, book).micro), strict=True))
    closing = run_event(
        lease,
        data.status,
        ended_ms,
        totals,
        error_code=data.error_code,
        end_user=data.end_user or report.subject or "",
    )
    return Usage(calls, closing)


def _calls(report: ReportedRun, lease: RunLease, ended_ms: int) -> tuple[TokenEvent | ToolCallEvent, ...]:
    data, owner = report.data, owner_of(lease)
    tokens = TokenEvent(
        **owner,
        occurred_at_ms=ended_ms,
        call_id=f"{lease.run_id}-1",
        seq=1,
        model=data.model,
        input_uncached=data.input_uncached,
        cache_read=data.cache_read,
        cache_write=data.cache_write,
        output=data.output,
        reasoning=data.reasoning,
        final=True,
    )
    tools = [
        ToolCallEvent(
            **owner,
            occurred_at_ms=ended_ms,
            tool_call_id=f"{lease.run_id}-t{number}",
            tool=used.tool,
            duration_ms=used.duration_ms,
            status=used.status,
        )
        for number, used in enumerate(data.tools(), 1)
    ]
    return (tokens, *tools)
