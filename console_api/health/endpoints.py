"""`/healthz`, `/readyz`, `/metrics`: for operators, without a token. Keep them off the public listener."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from console_api.health import service
from console_api.stores import StoresDep
from kit.problems import Unavailable

router = APIRouter(tags=["operations"])


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Readiness(Health):
    checks: dict[str, str]


class NotReady(Unavailable):
    """A store cannot be reached; `checks` says which."""

    code, title = "not_ready", "A store cannot be reached"


@router.get("/healthz", summary="The process answers")
async def healthz() -> Health:
    return Health()


@router.get("/readyz", summary="Redis, ClickHouse and the database answer")
async def readyz(stores: StoresDep, request: Request) -> Readiness:
    found = await service.checks(stores, request.app.state.control)
    away = [name for name, state in found.items() if state != "ok"]
    if away:
        raise NotReady(f"Unreachable: {', '.join(away)}.", headers={"Retry-After": "2"}, checks=found)
    return Readiness(checks=found)


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def metrics(stores: StoresDep) -> Response:
    return Response(generate_latest(stores.metrics.registry), media_type=CONTENT_TYPE_LATEST)
