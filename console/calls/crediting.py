"""Credits that operators give and take back, and corrections of runs."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from console.api import Call
from console.calls.paging import paged
from console.visitor import Visitor, part


class Command(Struct, frozen=True):
    action: str
    amount_micro: int
    reason: str
    created_at_ms: int


class Grant(Struct, frozen=True):
    grant_id: str
    org_id: str
    org_name: str
    kind: str
    amount_micro: int
    refunded_micro: int
    priority: int
    effective_at_ms: int
    expires_at_ms: int
    voided_at_ms: int
    reason: str
    created_at_ms: int
    commands: tuple[Command, ...]


class Grants(Struct, frozen=True):
    grants: tuple[Grant, ...]
    next_cursor: str | None


class Change(Struct, frozen=True):
    """What a correction would change."""

    run_id: str
    org_id: str
    models: tuple[str, ...]
    price_version: str
    charged_micro: int
    change_micro: int


class Correction(Struct, frozen=True):
    request_id: str
    org_name: str
    run_id: str
    kind: str
    expected_micro: int
    applied_micro: int | None
    reason: str
    requested_by: str
    created_at_ms: int


class Corrections(Struct, frozen=True):
    corrections: tuple[Correction, ...]
    next_cursor: str | None


async def grants(visitor: Visitor, org_id: str, cursor: str | None) -> Grants:
    return await visitor.get("/grants", Grants, {**paged(cursor), "org_id": org_id})


async def give(visitor: Visitor, terms: dict[str, Any], key: str) -> None:
    """Give credits; the same key again gives nothing more."""
    await visitor.call(Call("POST", "/grants", body=terms, headers={"Idempotency-Key": key}))


async def void(visitor: Visitor, grant_id: str, reason: str, key: str) -> None:
    path = f"/grants/{part(grant_id)}:void"
    await visitor.call(Call("POST", path, body={"reason": reason}, headers={"Idempotency-Key": key}))


async def refund(visitor: Visitor, grant_id: str, amount_micro: int, reason: str, key: str) -> None:
    body = {"amount_micro": amount_micro, "reason": reason}
    path = f"/grants/{part(grant_id)}:refund"
    await visitor.call(Call("POST", path, body=body, headers={"Idempotency-Key": key}))


async def corrections(visitor: Visitor, cursor: str | None) -> Corrections:
    return await visitor.get("/corrections", Corrections, paged(cursor))


async def change(visitor: Visitor, terms: dict[str, Any]) -> Change:
    return await visitor.post("/corrections:preview", Change, terms)


async def correct(visitor: Visitor, terms: dict[str, Any], key: str) -> None:
    """Correct a run; the same key again changes nothing more."""
    await visitor.call(Call("POST", "/corrections", body=terms, headers={"Idempotency-Key": key}))
