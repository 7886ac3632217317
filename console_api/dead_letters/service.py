"""What operators do with dead letters, and how they come to be known.

A replay publishes the original bytes through the outbox, in the transaction that marks the letter. What is
still poison becomes a dead letter again, at another place; what was applied already changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from console_api import cursors
from console_api.auth import roles
from console_api.auth.models import Principal
from console_api.control import audit
from console_api.control.outbox import service as outbox
from console_api.database.engine import Database
from console_api.database.tables import DeadLetterRow
from console_api.dead_letters import repository
from console_api.dead_letters.models import (
    MAX_SHOWN_BYTES,
    LetterContent,
    LetterPage,
    LetterView,
    NotReplayed,
    ReasonCount,
    Replayed,
    ReplayTerms,
)
from kit.problems import NotFound
from schemas import topics
from schemas.events import DeadLetter

#: Larger records are known, but only the log has their bytes.
MAX_KEPT_BYTES = 262_144
KEEP_MS = 30 * topics.DAY_MS
KEEP_LETTERS = 20_000
_REASONS = 200


async def take(database: Database, events: Sequence[Struct]) -> None:
    """Write down the letters of a batch; those that are known change nothing."""
    letters = [cast(DeadLetter, event) for event in events]
    keys = {letter.key: _org_id(letter.key) for letter in letters}
    async with database.writing() as session:
        tenants = await repository.tenants_of(session, sorted(set(keys.values())))
        # In one order for all, so that two that write at once do not wait for each other for ever.
        for letter in sorted(letters, key=letter_id):
            org_id = keys[letter.key] if keys[letter.key] in tenants else ""
            await repository.add(session, _row(letter, org_id, tenants.get(org_id, "")))


async def page(
    session: AsyncSession,
    principal: Principal,
    *,
    topic: str,
    reason: str,
    waiting: bool,
    limit: int,
    cursor: str | None,
) -> LetterPage:
    """Return a page of the tenant's letters, and how many there are of each kind."""
    _operators_only(principal)
    alone = await repository.is_only_tenant(session)
    rows = await repository.page(
        session,
        principal.tenant_id,
        alone=alone,
        topic=topic,
        reason=reason,
        waiting=waiting,
        before=cursors.decode(cursor, tuple[int, str]) if cursor else None,
        limit=limit + 1,
    )
    kinds = await repository.reasons(session, principal.tenant_id, alone=alone, limit=_REASONS)
    last = rows[limit - 1] if len(rows) > limit else None
    return LetterPage(
        letters=[LetterView(**_shown(row)) for row in rows[:limit]],
        reasons=[
            ReasonCount(topic=of, reason=why, letters=letters, waiting=left)
            for of, why, letters, left in kinds
        ],
        next_cursor=cursors.encode((last.recorded_at_ms, last.letter_id)) if last else None,
    )


async def read(session: AsyncSession, principal: Principal, wanted: str) -> LetterContent:
    """Return a letter with the beginning of its bytes. Raises `NotFound`."""
    _operators_only(principal)
    alone = await repository.is_only_tenant(session)
    row = await repository.one(session, principal.tenant_id, wanted, alone=alone)
    if row is None:
        raise NotFound("There is no such dead letter; list them at /api/v1/dead_letters.")
    start = row.value[:MAX_SHOWN_BYTES]
    encoding: Literal["utf-8", "hex"] = "utf-8"
    try:
        # Cut in the middle of a character it is text all the same.
        text = start.decode(errors="strict" if start == row.value else "ignore")
    except UnicodeDecodeError:
        text, encoding = start.hex(" "), "hex"
    cut = row.size_bytes > len(start)
    return LetterContent(**_shown(row), encoding=encoding, content=text, cut=cut)


async def replay(session: AsyncSession, principal: Principal, terms: ReplayTerms, now_ms: int) -> Replayed:
    """Publish letters once more; say which were left out, and why."""
    _operators_only(principal)
    alone = await repository.is_only_tenant(session)
    done: list[str] = []
    left: list[NotReplayed] = []
    # In one order for all, so that two that replay at once do not wait for each other for ever.
    for wanted in sorted(set(terms.letter_ids)):
        row = await repository.one(session, principal.tenant_id, wanted, alone=alone, lock=True)
        why = _hindrance(row, again=terms.again)
        if row is None or why:
            left.append(NotReplayed(letter_id=wanted, why=why))
            continue
        await _publish(session, principal, row, now_ms)
        done.append(wanted)
    return Replayed(replayed=done, left_out=left)


def letter_id(letter: DeadLetter) -> str:
    """Return what names a refused record: where it stands in the log, and of an export who refused it."""
    place = f"{letter.topic}-{letter.partition}-{letter.offset}"
    return f"{place}-{letter.worker.partition('/')[0]}" if letter.topic == topics.BILLING.name else place


def _operators_only(principal: Principal) -> None:
    roles.require(principal, "operator", "To see or replay dead letters")


def _hindrance(row: DeadLetterRow | None, *, again: bool) -> str:
    if row is None:
        return "There is no such dead letter."
    if row.replays and not again:
        return "It was replayed before."
    if row.topic not in topics.BY_NAME:
        return "Its topic is none that is read here."
    if not topics.BY_NAME[row.topic].republished:
        return "One destination refused it, others took it: use the command `runmeter exports replay`."
    if not row.key or not _org_id(row.key):
        return "It has no key that names an org, so nobody could apply it."
    return "" if row.value else "Its bytes are not kept here: use the command `runmeter replay`."


async def _publish(session: AsyncSession, principal: Principal, row: DeadLetterRow, now_ms: int) -> None:
    row.replays += 1
    row.replayed_at_ms = now_ms
    row.replayed_by = principal.subject
    await outbox.resend(
        session,
        topics.BY_NAME[row.topic],
        _org_id(row.key),
        f"replay-{row.replays}:{row.letter_id}"[-200:],
        row.value,
        at_ms=now_ms,
    )
    audit.record(
        session,
        tenant_id=principal.tenant_id,
        org_id=row.org_id,
        actor=principal.subject,
        action="dead_letter.replay",
        target=("dead_letter", row.letter_id[:128]),
        at_ms=now_ms,
        reason=row.reason,
        replays=row.replays,
    )


def _org_id(key: bytes | None) -> str:
    """Return the org that a key names, as far as it can be one."""
    try:
        named = (key or b"").decode()
    except UnicodeDecodeError:
        return ""
    return named if 0 < len(named) <= 128 and named.isprintable() else ""


def _row(letter: DeadLetter, org_id: str, tenant_id: str) -> DeadLetterRow:
    value = letter.value or b""
    return DeadLetterRow(
        letter_id=letter_id(letter),
        tenant_id=tenant_id,
        org_id=org_id,
        topic=letter.topic[:128],
        partition=letter.partition,
        offset=letter.offset,
        reason=letter.reason,
        # PostgreSQL keeps no NUL in a text.
        detail=letter.detail.replace("\0", ""),
        worker=letter.worker,
        key=letter.key[:1_024] if letter.key is not None else None,
        value=value if len(value) <= MAX_KEPT_BYTES else b"",
        size_bytes=len(value),
        recorded_at_ms=letter.recorded_at_ms,
        replays=0,
        replayed_at_ms=0,
        replayed_by="",
    )


def _shown(row: DeadLetterRow) -> dict[str, Any]:
    names = [name for name in LetterView.model_fields if name != "kept"]
    return {**{name: getattr(row, name) for name in names}, "kept": row.size_bytes <= MAX_KEPT_BYTES}
