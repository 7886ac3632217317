"""What only operators of the marketplace may see and do."""

from __future__ import annotations

from msgspec import Struct

from console.api import ApiError, Call
from console.calls.paging import all_pages, paged
from console.visitor import Visitor, part


class OrgRow(Struct, frozen=True):
    org_id: str
    name: str
    status: str
    created_at_ms: int


class OrgRows(Struct, frozen=True):
    orgs: tuple[OrgRow, ...] = ()
    next_cursor: str | None = None


class Delivery(Struct, frozen=True):
    """Something a payment provider told us."""

    provider: str
    event_id: str
    kind: str
    status: str
    error: str
    has_payload: bool
    received_at_ms: int
    applied_at_ms: int


class Deliveries(Struct, frozen=True):
    deliveries: tuple[Delivery, ...]
    next_cursor: str | None


async def orgs(visitor: Visitor, search: str, cursor: str | None) -> OrgRows:
    return await visitor.get("/orgs", OrgRows, {**paged(cursor), "search": search})


async def org_name(visitor: Visitor, org_id: str) -> str:
    """Return how an org is called; its id, where nobody says."""
    try:
        return (await visitor.get(f"/orgs/{part(org_id)}", OrgRow)).name
    except ApiError:
        return org_id


async def org_names(visitor: Visitor) -> dict[str, str]:
    """Return how all orgs are called, by id."""
    pages = await all_pages(lambda cursor: orgs(visitor, "", cursor))
    return {org.org_id: org.name for page in pages for org in page.orgs}


async def set_suspended(visitor: Visitor, org_id: str, reason: str, *, suspended: bool) -> None:
    verb = "suspend" if suspended else "resume"
    await visitor.call(Call("POST", f"/orgs/{part(org_id)}:{verb}", body={"reason": reason}))


async def deliveries(visitor: Visitor, status: str, cursor: str | None) -> Deliveries:
    query = {**paged(cursor), **({"status": status} if status else {})}
    return await visitor.get("/webhooks/deliveries", Deliveries, query)


async def replay(visitor: Visitor, provider: str, event_id: str) -> None:
    await visitor.call(Call("POST", f"/webhooks/deliveries/{part(provider)}/{part(event_id)}:replay"))
