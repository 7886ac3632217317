"""The audit log on the wire."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class Entry(BaseModel):
    """One thing that was done."""

    audit_id: str
    org_id: str = Field(description="Empty: it concerns the whole tenant")
    actor: str = Field(description="Who did it: an address, a token's subject, or a part of the system")
    action: str = Field(examples=["api_key.create"])
    target_kind: str
    target_id: str
    details: dict[str, Any]
    at_ms: int


class Page(BaseModel):
    """One page of entries, newest first."""

    entries: list[Entry]
    next_cursor: str | None
