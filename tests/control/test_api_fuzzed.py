"""Both APIs, asked for all that their OpenAPI documents allow, and what they do not: no 5xx, ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import requests
import schemathesis
from control_places import SQLITE
from control_world import add_token
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from market import Market
from schemathesis.schemas import APIOperation
from test_api_strangers import theirs
from waiting import PATIENCE_S

from console_api.database.engine import connect
from kit.clock import now_ms
from stack import offers, tenant

#: Of its own, so that nothing that happens to it matters to anybody.
TENANT = "fuzzed"
#: A stream that goes on; what refuses to begin it is asked by others.
STREAMS = {"/api/v1/instances/{instance_id}/usage/live"}
EXAMPLES = 12


def operations(url: str) -> Iterator[APIOperation[Any]]:
    for result in schemathesis.openapi.from_url(f"{url}/openapi.json").get_all_operations():
        operation = result.ok()
        if operation.path not in STREAMS:
            yield operation


def faults(operation: APIOperation[Any], headers: dict[str, str], ids: dict[str, str]) -> list[str]:
    """Return the answers that say that something broke on our side."""
    wrong: list[str] = []
    valid = operation.as_strategy()
    invalid = operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)

    @hypothesis.settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=st.one_of(valid, valid, invalid), real=st.booleans())
    def ask(case: Any, real: bool) -> None:
        if real:  # Beyond the look-up there is more to break.
            case.path_parameters = {**(case.path_parameters or {}), **_known(operation, ids)}
        request = case.as_transport_kwargs()
        request["headers"] = {**request.get("headers", {}), **headers}
        try:
            with requests.request(
                **request, timeout=PATIENCE_S, stream=True, allow_redirects=False
            ) as answer:
                # What is away says 503 and when to come back: that is an answer.
                if answer.status_code >= 500 and "Retry-After" not in answer.headers:
                    wrong.append(f"{operation.label}: {answer.status_code} {answer.text[:300]}")
        except (requests.exceptions.InvalidHeader, requests.exceptions.InvalidURL, UnicodeError):
            pass  # No client could send it.

    ask()
    return wrong


def _known(operation: APIOperation[Any], ids: dict[str, str]) -> dict[str, str]:
    names = [parameter.name for parameter in operation.path_parameters]
    return {name: ids[name] for name in names if name in ids}


def _takes_away(operation: APIOperation[Any]) -> bool:
    return operation.method.upper() == "DELETE"


async def _opened(market: Market) -> None:
    """Make a marketplace that sells what the demo's does."""
    database = connect(SQLITE, Path(market.stack["data_dir"]))
    try:
        await tenant.add(database, TENANT, "Fuzzed", 0)
        async with database.writing() as session:
            await offers.put_up(session, TENANT, actor="test", at_ms=now_ms())
    finally:
        await database.close()


async def test_the_console_api_never_breaks(market: Market) -> None:
    await _opened(market)
    owner = await market.org("Fuzzed", tenant_id=TENANT)
    operator = await add_token(market.redis, TENANT, role="operator")
    ids = {**await theirs(market, owner, operator), "code": "starter", "slug": "runs", "kind": "credits"}
    wrong = []
    # What is deleted first is there for nothing else.
    for operation in sorted(operations(market.stack["console_api_url"]), key=_takes_away):
        for headers in (owner, operator):
            wrong += await asyncio.to_thread(faults, operation, headers, ids)
    assert wrong == []


async def test_the_gateway_never_breaks(market: Market) -> None:
    owner = await market.org("Fuzzed through the gateway")
    placed = await market.order(owner, "dummy")
    assert (await market.call(owner, "POST", f"/orders/{placed['order_id']}:pay"))[0] == 204
    order = await market.provisioned(owner)
    headers = {"X-API-Key": await market.welcome(owner, order["order_id"])}
    wrong = []
    for operation in operations(market.stack["gateway_url"]):
        wrong += await asyncio.to_thread(faults, operation, headers, {})
    assert wrong == []
