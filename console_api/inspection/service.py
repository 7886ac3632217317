"""One run in full, from what was charged and from what history has of it."""

from __future__ import annotations

import asyncio
import re

from console_api.auth.models import Principal
from console_api.inspection import billing, repository
from console_api.inspection.folding import folded
from console_api.inspection.models import (
    MAX_ROWS,
    EntryLine,
    Inspection,
    ModelCall,
    RunPlace,
    RunRecord,
    ToolUse,
)
from console_api.inspection.repository import History
from console_api.ledger.service import line
from console_api.runs import repository as runs
from console_api.runs import service as running
from console_api.runs.models import Run
from console_api.stores import Stores
from console_api.warehouse import Row
from kit.problems import NotFound
from metering.metered import MeteredRun
from metering.runs import Call, RunState, version_of
from metering.totals import CHARGED, snapshot_of
from schemas.directory import InstanceRecord

_NOT_THERE = "There is no such run, or it has not been metered yet; try again in some seconds."
_NUMBER = re.compile(r"(\d+)$")


async def inspect(stores: Stores, own: InstanceRecord, run_id: str) -> Inspection:
    """Return everything known of one run. Raises `NotFound`, `WarehouseAway` and `RedisError`."""
    row, metered = await asyncio.gather(
        runs.one(stores, own, run_id), repository.metered(stores, own, run_id)
    )
    if row is not None:
        started_at_ms = int(row["started_at_ms"])
    elif metered is not None:
        started_at_ms = metered.state.identity.started_at_ms
    else:
        raise NotFound(_NOT_THERE)
    history = await repository.history(stores, own, run_id, started_at_ms)
    # Of the two, the one that knows more: Redis after the latest events, history after Redis lost its last.
    if metered is not None and (row is None or version_of(metered.state) >= row["version"]):
        state: RunState | None = metered.state
        run, charged = _run_of(metered, row), metered.totals[CHARGED]
    else:
        assert row is not None
        state = folded(own, row, history)
        run, charged = running.wire(row), int(row["credits_micro"])
    bill = await billing.bill(stores, state, run.price_version, charged)
    truncated = any(len(rows) > MAX_ROWS for rows in _lists(history))
    ledger = [EntryLine.model_validate(line(entry)) for entry in history.ledger[:MAX_ROWS]]
    return Inspection(
        run=run.model_copy(update={"unpriced": run.unpriced or any(i.unpriced for i in bill.items)}),
        arriving=not truncated and _arriving(row, state, history, charged),
        truncated=truncated,
        calls=_calls(state, history.calls)[:MAX_ROWS],
        tool_calls=_tool_calls(state, history.tool_calls)[:MAX_ROWS],
        bill=bill,
        ledger=ledger,
        events=[RunRecord.model_validate(event) for event in history.events[:MAX_ROWS]],
    )


async def place(stores: Stores, principal: Principal, run_id: str) -> RunPlace:
    """Return where a run of the caller's org is. Raises `NotFound`, `WarehouseAway` and `RedisError`."""
    tenant_id, org_id = principal.tenant_id, principal.org_id
    # First where it is found by its id alone; of what metering has forgotten, history knows.
    metered = await repository.metered_in_org(stores, tenant_id, org_id, run_id)
    if metered is not None:
        instance_id = metered.state.identity.instance_id
    else:
        instance_id = await runs.instance_of(stores, tenant_id, org_id, run_id)
    if not instance_id:
        raise NotFound(_NOT_THERE)
    return RunPlace(run_id=run_id, instance_id=instance_id)


def _lists(history: History) -> tuple[list[Row], ...]:
    return history.calls, history.tool_calls, history.corrections, history.ledger, history.events


def _arriving(row: Row | None, state: RunState | None, history: History, charged: int) -> bool:
    """Return whether history lacks something that was metered."""
    if row is None or state is None:
        return row is None
    return (
        int(row["version"]) < version_of(state)
        or -sum(int(entry["amount_micro"]) for entry in history.ledger) != charged
        or not state.calls.keys() <= {call["call_id"] for call in history.calls}
        or not state.tools.keys() <= {tool["tool_call_id"] for tool in history.tool_calls}
    )


def _run_of(metered: MeteredRun, row: Row | None) -> Run:
    """Return a run as it was charged, as a listing would have it once it is in history."""
    snapshot = snapshot_of(metered.state, metered.totals, version_of(metered.state), unpriced=False)
    fields = {name: getattr(snapshot, name) for name in snapshot.__struct_fields__}
    fields["credits_micro"] = fields.pop("charged_micro")
    return running.wire({**fields, "recorded_at_ms": int(row["recorded_at_ms"]) if row else 0})


def _calls(state: RunState | None, rows: list[Row]) -> list[ModelCall]:
    told = {row["call_id"]: row for row in rows}
    known = state.calls if state else {}
    order = sorted(known, key=lambda call_id: _place(call_id, told.get(call_id, {}).get("first_at_ms")))
    return [_call(at, call_id, known[call_id], told.get(call_id)) for at, call_id in enumerate(order, 1)]


def _call(step: int, call_id: str, call: Call, told: Row | None) -> ModelCall:
    return ModelCall(
        call_id=call_id,
        step=step,
        model=call.model,
        tokens_in=call.input_uncached + call.cache_read + call.cache_write,
        input_uncached=call.input_uncached,
        cache_read=call.cache_read,
        cache_write=call.cache_write,
        tokens_out=call.output,
        reasoning=call.reasoning,
        source=call.source,
        final=call.final,
        reports=told["reports"] if told else 0,
        first_at_ms=told["first_at_ms"] if told else None,
        last_at_ms=told["occurred_at_ms"] if told else None,
    )


def _tool_calls(state: RunState | None, rows: list[Row]) -> list[ToolUse]:
    ended = {row["tool_call_id"]: row["occurred_at_ms"] for row in rows}
    known = state.tools if state else {}
    order = sorted(known, key=lambda tool_call_id: _place(tool_call_id, ended.get(tool_call_id)))
    return [
        ToolUse(
            tool_call_id=tool_call_id,
            step=step,
            tool=known[tool_call_id].tool,
            duration_ms=known[tool_call_id].duration_ms,
            status=known[tool_call_id].status,  # type: ignore[arg-type]
            ended_at_ms=ended.get(tool_call_id),
        )
        for step, tool_call_id in enumerate(order, 1)
    ]


def _place(identity: str, at_ms: int | None) -> tuple[float, int, str]:
    """Return where a call stands among the run's: by time, then by the number that its id ends in."""
    number = _NUMBER.search(identity)
    return (float("inf") if at_ms is None else at_ms, int(number[1]) if number else 0, identity)
