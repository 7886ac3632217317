"""Reconciliations are asked for through the outbox, by people and by time, and their answers kept."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from control_server import Answer, Api
from control_world import NOW

from console_api.reconciliations import service
from schemas import topics
from schemas.directory import Role
from schemas.reconciliation import ReconciledFigure, Reconciliation, ReconciliationRequest

HOUR_MS = 3_600_000


async def _ask(api: Api, method: str, path: str, body: Any = None) -> Answer:
    return await api(method, path, body, headers=await api.headers("operator", ""))


async def _requests(api: Api) -> list[ReconciliationRequest]:
    rows = [row for row in await api.world.outbox() if row.topic == topics.RECONCILE_REQUESTS.name]
    return [msgspec.json.decode(row.payload, type=ReconciliationRequest) for row in rows]


def _report(api: Api, request_id: str, **fields: Any) -> Reconciliation:
    made: dict[str, Any] = {
        "request_id": request_id,
        "tenant_id": api.world.tenant_id,
        "orgs": 2,
        "runs": 7,
        "records": 200,
        "records_stored": 199,
        "figures": [
            ReconciledFigure(name="runs", recomputed=7, redis=7, clickhouse=6),
            ReconciledFigure(name="charged", recomputed=50, redis=44, ledger=50, clickhouse=50),
        ],
        "started_at_ms": NOW,
        "finished_at_ms": NOW + 900,
    }
    return Reconciliation(**{**made, **fields})


async def test_a_reconciliation_is_asked_for_and_its_answer_shown(api: Api) -> None:
    started = await _ask(api, "POST", "/reconciliations", {})
    assert (started.status, started.body["verdict"]) == (202, "running")
    (request,) = await _requests(api)
    assert (request.tenant_id, request.only_org_id, request.since_ms) == (api.world.tenant_id, "", 0)

    lines = ["org_1: wallet charged is 44, its runs cost 50"]
    report = _report(api, request.request_id, different=1, differences=lines, behind_ms=12)
    await service.take(api.world.database, [report])
    await service.take(api.world.database, [_report(api, request.request_id)])

    seen = (await _ask(api, "GET", f"/reconciliations/{request.request_id}")).body
    assert (seen["verdict"], seen["different"], seen["difference_micro"]) == ("different", 1, 6)
    assert (seen["completeness_ppm"], seen["behind_ms"]) == (995_000, 12)
    assert seen["differences"] == lines
    assert seen["figures"][1]["redis"] == 44
    (listed,) = (await _ask(api, "GET", "/reconciliations")).body["reconciliations"]
    assert listed["requested_by"] == "operator@example.com"
    (entry,) = await api.world.audited(request.request_id)
    assert entry.action == "reconciliation.start"


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({}, "exact"),
        ({"different": 2}, "different"),
        ({"different": 2, "in_flight": ["partition 3: 1 batch waits"]}, "unsettled"),
        ({"error": "a store could not be reached"}, "failed"),
    ],
)
async def test_each_answer_has_its_verdict(api: Api, fields: dict[str, Any], verdict: str) -> None:
    request_id = (await _ask(api, "POST", "/reconciliations", {})).body["request_id"]
    await service.take(api.world.database, [_report(api, request_id, **fields)])
    (listed,) = (await _ask(api, "GET", "/reconciliations")).body["reconciliations"]
    assert listed["verdict"] == verdict


async def test_one_at_a_time_until_nobody_answers(api: Api) -> None:
    await _ask(api, "POST", "/reconciliations", {})
    second = await _ask(api, "POST", "/reconciliations", {})
    assert (second.status, second.body["code"]) == (409, "conflict")

    api.world.clock.at_ms = NOW + service.OVERDUE_MS
    assert (await _ask(api, "GET", "/reconciliations")).body["reconciliations"][0]["verdict"] == "overdue"
    assert (await _ask(api, "POST", "/reconciliations", {})).status == 202


async def test_time_asks_once_for_each_tenant(api: Api) -> None:
    async def due(at_ms: int) -> int:
        async with api.world.database.writing() as session:
            return await service.start_due(session, HOUR_MS, at_ms)

    assert await due(NOW + 1_000) == 0, "a new marketplace has nothing to compare yet"
    assert await due(NOW + 2 * HOUR_MS) == 1
    assert await due(NOW + 2 * HOUR_MS + 5) == 0
    assert await due(NOW + 4 * HOUR_MS) == 1
    assert [request.requested_at_ms for request in await _requests(api)] == [
        NOW + 2 * HOUR_MS,
        NOW + 4 * HOUR_MS,
    ]


async def test_an_answer_of_another_tenant_changes_nothing(api: Api) -> None:
    request_id = (await _ask(api, "POST", "/reconciliations", {})).body["request_id"]
    await service.take(api.world.database, [_report(api, request_id, tenant_id="tenant_elsewhere")])
    (listed,) = (await _ask(api, "GET", "/reconciliations")).body["reconciliations"]
    assert listed["verdict"] == "running"


async def test_only_orgs_of_the_tenant_can_be_named(api: Api) -> None:
    assert (await _ask(api, "POST", "/reconciliations", {"org_id": "org_elsewhere"})).status == 404
    answer = await _ask(api, "POST", "/reconciliations", {"org_id": api.world.org_id, "since_ms": NOW})
    assert answer.status == 202
    (request,) = await _requests(api)
    assert (request.only_org_id, request.since_ms) == (api.world.org_id, NOW)


@pytest.mark.parametrize("role", ["owner", "admin", "member", "viewer"])
async def test_reconciling_is_the_operators_business(api: Api, role: Role) -> None:
    request_id = (await _ask(api, "POST", "/reconciliations", {})).body["request_id"]
    for method, path, body in (
        ("GET", "/reconciliations", None),
        ("GET", f"/reconciliations/{request_id}", None),
        ("POST", "/reconciliations", {}),
        ("GET", "/consumers", None),
    ):
        assert (await api(method, path, body, role=role)).status == 403


async def test_how_far_workers_are_is_not_known_while_kafka_is_away(api: Api) -> None:
    answer = await _ask(api, "GET", "/consumers")
    assert (answer.status, answer.body["code"]) == (503, "log_unavailable")
    assert answer.headers["Retry-After"] == "5"
