"""Reconciliations on the wire."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from console_api.money import CreditsMicro

#: `unsettled`: it differs, but records were under way, so that stores read one after the other differ anyhow.
#: `running` turns into `overdue` when no answer came in time: nobody reconciles, or it was killed.
Verdict = Literal["running", "overdue", "exact", "different", "unsettled", "failed"]


class ReconcileTerms(BaseModel):
    """What to compare: all orgs or one, everything or only runs that started since a moment."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"org_id": "", "since_ms": 0}})

    org_id: str = Field(default="", max_length=128)
    since_ms: Annotated[int, Field(ge=0, le=4_102_444_800_000)] = 0


class FigureView(BaseModel):
    """One sum by witness. `null`: that one has nothing to say of it. Amounts are micro-credits."""

    name: str
    is_credits: bool
    recomputed: int | None
    redis: int | None
    ledger: int | None
    clickhouse: int | None


class ReconciliationView(BaseModel):
    """One reconciliation, in figures."""

    request_id: str
    org_id: str = Field(description="Empty: all orgs")
    since_ms: int
    requested_by: str
    requested_at_ms: int
    finished_at_ms: int
    verdict: Verdict
    error: str
    orgs: int
    runs: int
    records: int
    records_stored: int
    completeness_ppm: int = Field(description="Records accounted for, in millionths")
    behind_ms: int = Field(description="Age of the oldest record that was not applied yet")
    different: int
    difference_micro: CreditsMicro = Field(description="The widest gap between witnesses of one sum")


class ReconciliationReport(ReconciliationView):
    """One reconciliation, whole. `differences` spells out at most 100."""

    figures: list[FigureView]
    differences: list[str]
    in_flight: list[str]


class ReconciliationPage(BaseModel):
    """One page of reconciliations, newest first."""

    reconciliations: list[ReconciliationView]
    next_cursor: str | None
