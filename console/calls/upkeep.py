"""Refused records, reconciliations, and how far workers are."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from console.api import Call
from console.visitor import Visitor, part


class Letter(Struct, frozen=True):
    letter_id: str
    topic: str
    partition: int
    offset: int
    org_id: str
    reason: str
    detail: str
    worker: str
    size_bytes: int
    recorded_at_ms: int
    replays: int
    replayed_at_ms: int
    replayed_by: str


class LetterContent(Letter, frozen=True):
    encoding: str = "utf-8"
    content: str = ""
    cut: bool = False


class ReasonCount(Struct, frozen=True):
    topic: str
    reason: str
    letters: int
    waiting: int


class Letters(Struct, frozen=True):
    letters: tuple[Letter, ...]
    reasons: tuple[ReasonCount, ...]
    next_cursor: str | None


class NotReplayed(Struct, frozen=True):
    letter_id: str
    why: str


class Replayed(Struct, frozen=True):
    replayed: tuple[str, ...]
    left_out: tuple[NotReplayed, ...]


class Reconciliation(Struct, frozen=True):
    request_id: str
    org_id: str
    since_ms: int
    requested_by: str
    requested_at_ms: int
    finished_at_ms: int
    verdict: str
    error: str
    orgs: int
    runs: int
    records: int
    records_stored: int
    completeness_ppm: int
    behind_ms: int
    different: int
    difference_micro: int


class Figure(Struct, frozen=True):
    name: str
    is_credits: bool
    recomputed: int | None
    redis: int | None
    ledger: int | None
    clickhouse: int | None


class Report(Reconciliation, frozen=True):
    figures: tuple[Figure, ...] = ()
    differences: tuple[str, ...] = ()
    in_flight: tuple[str, ...] = ()


class Reconciliations(Struct, frozen=True):
    reconciliations: tuple[Reconciliation, ...]
    next_cursor: str | None


class PartitionLag(Struct, frozen=True):
    topic: str
    partition: int
    position: int | None
    end: int
    lag: int | None
    member: str
    applied_at_ms: int
    waiting_since_ms: int


class RoleLag(Struct, frozen=True):
    role: str
    group: str
    source: str
    members: int
    unassigned: int
    lag: int
    waiting_since_ms: int
    partitions: tuple[PartitionLag, ...]


class Consumers(Struct, frozen=True):
    now_ms: int
    roles: tuple[RoleLag, ...]
    history_at_ms: int | None


async def letters(
    visitor: Visitor, topic: str, reason: str, *, waiting: bool, cursor: str | None = None
) -> Letters:
    query = {"limit": "50", "topic": topic, "reason": reason, "waiting": "true" if waiting else "false"}
    return await visitor.get("/dead_letters", Letters, {**query, **({"cursor": cursor} if cursor else {})})


async def letter(visitor: Visitor, letter_id: str) -> LetterContent:
    return await visitor.get(f"/dead_letters/{part(letter_id)}", LetterContent)


async def replay(visitor: Visitor, letter_ids: Sequence[str], *, again: bool = False) -> Replayed:
    body = {"letter_ids": list(letter_ids), "again": again}
    return await visitor.post("/dead_letters:replay", Replayed, body)


async def reconciliations(visitor: Visitor) -> Reconciliations:
    return await visitor.get("/reconciliations", Reconciliations)


async def report(visitor: Visitor, request_id: str) -> Report:
    return await visitor.get(f"/reconciliations/{part(request_id)}", Report)


async def reconcile(visitor: Visitor, org_id: str, since_ms: int) -> None:
    body = {"org_id": org_id, "since_ms": since_ms}
    await visitor.call(Call("POST", "/reconciliations", body=body))


async def consumers(visitor: Visitor) -> Consumers:
    return await visitor.get("/consumers", Consumers)
