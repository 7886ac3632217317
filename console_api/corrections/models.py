"""Corrections on the wire."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from console_api.grants.models import Reason
from console_api.money import CreditsMicro
from schemas.events import CorrectionKind

_Tokens = Annotated[int, Field(ge=0, le=10_000_000_000)]


class UsageTerms(BaseModel):
    """What a model call really used. An empty `call_id` adds a call that was never reported."""

    model_config = ConfigDict(extra="forbid")

    call_id: str = Field(default="", max_length=128)
    model: str = Field(default="", max_length=256, description="Empty: the call's, or the run's")
    input_uncached: _Tokens = 0
    cache_read: _Tokens = 0
    cache_write: _Tokens = 0
    output: _Tokens = 0
    reasoning: _Tokens = 0


class CorrectionTerms(BaseModel):
    """`void` makes a run free, `amend` replaces a call's usage, `rerate` prices it by another book."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"kind": "void", "run_id": "run_01kx4h2m7q", "reason": "it answered nonsense"}
        },
    )

    kind: CorrectionKind
    run_id: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=128)]
    usage: UsageTerms | None = Field(default=None, description="Of an `amend`, and only of it")
    price_version: str = Field(default="", max_length=128, description="Of a `rerate`, and only of it")
    reason: Reason

    def terms(self) -> dict[str, Any]:
        """Return what the correction says beyond its kind, as the event names it."""
        if self.kind == "amend":
            return self.usage.model_dump() if self.usage else {}
        return {"new_price_version": self.price_version} if self.kind == "rerate" else {}


class CorrectionPreview(BaseModel):
    """What a correction would change now. A negative change gives credits back."""

    run_id: str
    org_id: str
    instance_id: str
    started_at_ms: int
    price_version: str
    models: list[str]
    charged_micro: CreditsMicro
    change_micro: CreditsMicro


class CorrectionView(BaseModel):
    """A correction that was sent. `applied_micro` is missing until the ledger has it."""

    request_id: str
    org_id: str
    org_name: str
    run_id: str
    kind: CorrectionKind
    terms: dict[str, Any]
    expected_micro: CreditsMicro
    applied_micro: CreditsMicro | None
    reason: str
    requested_by: str
    created_at_ms: int


class CorrectionPage(BaseModel):
    """One page of corrections, newest first."""

    corrections: list[CorrectionView]
    next_cursor: str | None
