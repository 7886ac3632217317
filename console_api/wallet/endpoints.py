"""`GET /api/v1/wallet`."""

from __future__ import annotations

from fastapi import APIRouter

from console_api.auth.service import OrgMemberDep
from console_api.stores import StoresDep
from console_api.wallet import forecast as forecasting
from console_api.wallet import service
from console_api.wallet.models import Forecast, WalletDetail

router = APIRouter(prefix="/api/v1", tags=["wallet"])

_DESCRIPTION = """\
Everything about your org's wallet at one moment, read in one transaction.

`available` is `settled` less `held`. `granted` less `charged`, `expired`, `voided` and `refunded` is what all
buckets hold, those not effective yet included, less `debt`. `buckets` stand in the order in which they are
spent; `schedule` lists what time alone will change. Every role of the org may read it.
"""


@router.get("/wallet", summary="Your org's credits", description=_DESCRIPTION)
async def wallet(stores: StoresDep, principal: OrgMemberDep) -> WalletDetail:
    return await service.detail(stores, principal)


@router.get("/wallet/forecast", summary="When your org's credits run out")
async def forecast(stores: StoresDep, principal: OrgMemberDep) -> Forecast:
    return await forecasting.forecast(stores, principal.tenant_id, principal.org_id)
