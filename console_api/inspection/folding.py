"""Rows of one run → its state, for runs that the metering worker has forgotten."""

from __future__ import annotations

from typing import Any

import msgspec

from console_api.inspection.models import MAX_ROWS
from console_api.inspection.repository import History
from console_api.warehouse import Row
from metering.runs import MeteredEvent, RunState, fold
from schemas.directory import InstanceRecord
from schemas.events import CorrectionEvent, RunEvent, TokenEvent, ToolCallEvent

_OWN = ("run_id", "channel", "key_id", "price_version", "started_at_ms")


def folded(own: InstanceRecord, run: Row, history: History) -> RunState | None:
    """Return the run that its events add up to; `None` without any."""
    whose = {
        "tenant_id": own.tenant_id,
        "org_id": own.org_id,
        "instance_id": own.instance_id,
        **{name: run[name] for name in _OWN},
    }
    kinds: tuple[tuple[type[Any], list[Row]], ...] = (
        (TokenEvent, history.calls),
        (ToolCallEvent, history.tool_calls),
        (CorrectionEvent, history.corrections),
    )
    events: list[MeteredEvent] = [
        msgspec.convert({**whose, **row}, kind) for kind, rows in kinds for row in rows[:MAX_ROWS]
    ]
    if run["model"]:
        # A call that a correction adds is one of the run's model, if it says no other.
        events.append(
            RunEvent(
                **whose,
                status=run["status"],
                model=run["model"],
                occurred_at_ms=run["closed_at_ms"] or run["started_at_ms"],
            )
        )
    return fold(None, ((event, False) for event in events)) if events else None
