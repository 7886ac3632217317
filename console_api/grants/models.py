"""Grants on the wire."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from console_api.money import MICRO, CreditsMicro
from schemas.events import GrantAction, GrantKind

#: Ten million credits at once: more is a slip of the keyboard.
MAX_GRANT_MICRO = 10_000_000 * MICRO

Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=400)]
_Moment = Annotated[int, Field(ge=0, le=4_102_444_800_000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class GrantTerms(_Strict):
    """Credits for an org. A lower priority burns first. The buyer reads kind and reason in the ledger."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "org_id": "org_01kx4h2m7q",
                "kind": "promotion",
                "amount_micro": 500_000_000,
                "expires_at_ms": 1_800_000_000_000,
                "reason": "welcome offer",
            }
        },
    )

    org_id: str = Field(min_length=1, max_length=128)
    kind: Literal["promotion", "correction"]
    amount_micro: int = Field(ge=1, le=MAX_GRANT_MICRO)
    priority: int = Field(default=50, ge=0, le=998)
    effective_at_ms: _Moment = Field(default=0, description="0: at once")
    expires_at_ms: _Moment = Field(default=0, description="0: never")
    reason: Reason


class VoidTerms(_Strict):
    """Why what is left of a grant is taken away."""

    reason: Reason


class RefundTerms(_Strict):
    """How much of a grant is taken back, and why."""

    amount_micro: int = Field(ge=1, le=MAX_GRANT_MICRO)
    reason: Reason


class CommandView(BaseModel):
    """What was done to a grant since."""

    command_id: str
    action: GrantAction
    amount_micro: CreditsMicro
    reason: str
    created_at_ms: int


class GrantView(BaseModel):
    """A grant as it was given. How much of it is left is the wallet's to say."""

    grant_id: str
    org_id: str
    org_name: str
    kind: GrantKind
    amount_micro: CreditsMicro
    refunded_micro: CreditsMicro
    priority: int
    effective_at_ms: int
    expires_at_ms: int
    voided_at_ms: int = Field(description="0: it was not")
    reason: str
    created_at_ms: int
    commands: list[CommandView]


class GrantPage(BaseModel):
    """One page of grants, newest first."""

    grants: list[GrantView]
    next_cursor: str | None
