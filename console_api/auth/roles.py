"""What each role may do. Every check of a role in this service is one of these.

| role | may |
|---|---|
| viewer | look at everything of the org but its audit log |
| member | also configure instances: settings, keys, knowledge, connectors |
| admin | also the team, the audit log, and spending the org's money |
| owner | also other owners, and the org itself |
| operator | everything in the tenant: prices, plans, grants, refunds, all orgs |

An analyst is a viewer of the whole tenant.
"""

from __future__ import annotations

from console_api.auth.models import Principal
from kit.problems import Forbidden
from schemas.directory import Role

_RANK: dict[Role, int] = {"viewer": 0, "member": 1, "admin": 2, "owner": 3, "operator": 4}


def includes(role: Role, least: Role) -> bool:
    """Return whether a role may do all that the other may."""
    return _RANK[role] >= _RANK[least]


def require(principal: Principal, least: Role, to_do: str) -> None:
    """Raise `Forbidden` unless the caller's role suffices. `to_do` as in "To change a key"."""
    if not includes(principal.role, least):
        who = "an operator of the marketplace" if least == "operator" else f"the role {least} in your org"
        raise Forbidden(f"{to_do} takes {who}; yours is {principal.role}.", needs=least)


def require_org(principal: Principal, to_do: str) -> None:
    """Raise `Forbidden` for a caller that speaks for a whole tenant."""
    if not principal.org_id:
        raise Forbidden(
            f"{to_do} takes an org: name it in `X-Runmeter-Org`, or use the token of one.", needs="org"
        )
