"""`GET /api/v1/wallet`."""

from __future__ import annotations

from fastapi import APIRouter

from console_api.auth.service import OrgMemberDep
from console_api.stores import StoresDep
from console_api.wallet import service
from console_api.wallet.models import WalletView

router = APIRouter(prefix="/api/v1", tags=["wallet"])


@router.get("/wallet", summary="Your org's credits")
async def wallet(stores: StoresDep, principal: OrgMemberDep) -> WalletView:
    return await service.view(stores, principal.org_id)
