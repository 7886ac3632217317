"""What is done with orgs."""

from __future__ import annotations

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from console_api import cursors
from console_api.auth import roles
from console_api.auth.models import Person, Principal
from console_api.control import audit
from console_api.control.directory import repository as directory_rows
from console_api.control.directory import service as directory
from console_api.control.errors import Conflict
from console_api.database.tables import Org
from console_api.orgs import repository
from console_api.orgs.models import OrgPage, OrgTerms, OrgView, OwnOrg, OwnOrgs
from kit.problems import Forbidden, NotFound

#: How many orgs one person may own.
MOST_OWNED = 20


def mine(person: Person) -> OwnOrgs:
    """Return the orgs a person belongs to."""
    places = [place for place in person.orgs if place.org_id]
    return OwnOrgs(
        orgs=[OwnOrg(org_id=place.org_id, name=place.org_name, role=place.role) for place in places],
        is_operator=person.is_operator,
    )


async def found(session: AsyncSession, person: Person, terms: OrgTerms, now_ms: int) -> OwnOrg:
    """Make an org that the person owns. Raises `Forbidden` for a token that is nobody's, `Conflict`."""
    if not person.user_id:
        raise Forbidden("An org is made by somebody who signed in, not by a token.")
    if await repository.owned(session, person.user_id) >= MOST_OWNED:
        raise Conflict(f"You own {MOST_OWNED} orgs already; have somebody else own one of them.")
    org = await directory.ensure_org(session, person.tenant_id, terms.name, at_ms=now_ms)
    await directory_rows.add_membership(session, org.org_id, person.user_id, "owner", now_ms)
    audit.record(
        session,
        tenant_id=person.tenant_id,
        org_id=org.org_id,
        actor=person.subject,
        action="org.create",
        target=("org", org.org_id),
        at_ms=now_ms,
        name=terms.name,
    )
    return OwnOrg(org_id=org.org_id, name=org.name, role="owner")


async def read(session: AsyncSession, principal: Principal, org_id: str) -> OrgView:
    """Return an org of the caller's. Raises `NotFound`."""
    row = None
    if principal.org_id in ("", org_id):
        row = await repository.one(session, principal.tenant_id, org_id)
    if row is None:
        raise NotFound("There is no such org; list yours at /api/v1/account/orgs.")
    return _view(row)


async def rename(session: AsyncSession, principal: Principal, terms: OrgTerms, now_ms: int) -> OrgView:
    """Give the caller's org another name. Raises `Forbidden`."""
    roles.require(principal, "owner", "To rename the org")
    before = await read(session, principal, principal.org_id)
    if before.name != terms.name:
        await repository.rename(session, principal.org_id, terms.name)
        audit.record(
            session,
            tenant_id=principal.tenant_id,
            org_id=principal.org_id,
            actor=principal.subject,
            action="org.rename",
            target=("org", principal.org_id),
            at_ms=now_ms,
            was=before.name,
            now=terms.name,
        )
    return before.model_copy(update={"name": terms.name})


async def set_status(
    session: AsyncSession,
    principal: Principal,
    org_id: str,
    status: directory.OrgStatus,
    reason: str,
    *,
    now_ms: int,
) -> None:
    """Suspend or resume an org. Doing it again changes nothing. Raises `Forbidden`, `NotFound`."""
    roles.require(principal, "operator", "To suspend or resume an org")
    row = None
    if principal.org_id in ("", org_id):
        row = await directory_rows.locked_org(session, principal.tenant_id, org_id)
    if row is None:
        raise NotFound("There is no such org; list the tenant's at /api/v1/orgs.")
    await directory.set_org_status(session, row, status, actor=principal.subject, reason=reason, at_ms=now_ms)


async def page(
    session: AsyncSession, principal: Principal, search: str, limit: int, cursor: str | None
) -> OrgPage:
    """Return a page of the tenant's orgs. Raises `Forbidden` for anybody but operators."""
    roles.require(principal, "operator", "To see all orgs")
    before = cursors.decode(cursor, tuple[int, str]) if cursor else None
    rows = await repository.page(session, principal.tenant_id, search.strip(), before, limit + 1)
    shown = [_view(row) for row in rows[:limit]]
    last = shown[-1] if len(rows) > limit else None
    more = cursors.encode((last.created_at_ms, last.org_id)) if last else None
    return OrgPage(orgs=shown, next_cursor=more)


def _view(row: Row[Org, int, int]) -> OrgView:
    org, members, instances = row
    return OrgView(
        org_id=org.org_id,
        name=org.name,
        status=org.status,
        external_id=org.external_id,
        members=members,
        instances=instances,
        created_at_ms=org.created_at_ms,
    )
