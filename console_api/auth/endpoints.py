"""`GET /api/v1/account`: who am I."""

from __future__ import annotations

from fastapi import APIRouter

from console_api.auth.models import Account
from console_api.auth.service import PrincipalDep

router = APIRouter(prefix="/api/v1", tags=["account"])


@router.get("/account", summary="Whom the access token speaks for")
async def account(principal: PrincipalDep) -> Account:
    return Account(
        subject=principal.subject,
        tenant_id=principal.tenant_id,
        org_id=principal.org_id,
        role=principal.role,
    )
