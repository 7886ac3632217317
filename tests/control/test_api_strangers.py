"""Every endpoint of the OpenAPI documents, against callers to whom the thing that it names does not belong.

An endpoint that is added later is found by itself; one with a new kind of id fails until `theirs` knows one.
"""

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
from market import TENANT, Market
from schemathesis.schemas import APIOperation
from stripe_server import signed
from waiting import PATIENCE_S, eventually

from console_api.database.engine import connect
from console_api.dead_letters import service as dead_letters
from kit.clock import now_ms
from schemas import topics
from schemas.events import DeadLetter

#: Names that mean something within the caller's own tenant only.
OWN_NAMES = {"code", "kind", "model", "slug", "version"}
#: Who posts there is known by a signature, not by a token.
SIGNED = {"/api/v1/webhooks/stripe", "/api/v1/webhooks/saleor"}
#: Reads, although it is a POST: a question does not belong into a URL.
QUESTIONS = {"/api/v1/instances/{instance_id}/knowledge:search"}
#: Never ends, so that it is asked for only when it is refused before it begins.
STREAMS = "text/event-stream"


async def theirs(
    market: Market, owner: dict[str, str], operator: dict[str, str] | None = None
) -> dict[str, str]:
    """Return an id of each kind of thing of an org, all of it made for real. `operator`: of its tenant."""
    operator = operator or market.operator
    placed = await market.order(owner, "dummy")
    assert (await market.call(owner, "POST", f"/orders/{placed['order_id']}:pay"))[0] == 204
    order = await market.provisioned(owner)
    key = await market.welcome(owner, order["order_id"])
    status, run = await market.run(key, conversation_id="about-others")
    assert status == 200
    instance = f"/instances/{order['instance_id']}"
    keys = (await market.call(owner, "GET", f"{instance}/api_keys"))[1]["api_keys"]
    text = {"kind": "text", "title": "Secrets", "text": "The code is 4711."}
    status, source = await market.call(owner, "POST", f"{instance}/sources", text)
    assert status in (201, 202), source
    slack = {"kind": "slack", "name": "Us", "settings": {"channel": "C0123456789"}}
    slack["credentials"] = {"bot_token": "xoxb-0000000000-example"}
    status, connector = await market.call(owner, "POST", f"{instance}/connectors", slack)
    assert status == 201, connector
    told: list[dict[str, Any]] = []

    async def heard() -> bool:
        told[:] = (await market.call(owner, "GET", f"{instance}/conversations"))[1]["conversations"]
        return bool(told)

    await eventually(heard, "the conversation is there")
    subscriptions = (await market.call(owner, "GET", "/subscriptions"))[1]["subscriptions"]
    event = market.stripe.event("balance.available", {"id": "balance", "object": "balance"})
    await market.deliver([("stripe", *signed(event))])
    invitation = {"email": "somebody@example.com"}
    given = {"org_id": "", "kind": "promotion", "amount_micro": 1, "reason": "a stranger must not see it"}
    given["org_id"] = (await market.call(owner, "GET", "/account"))[1]["org_id"]
    key_of_grant = {"Idempotency-Key": f"given-{order['order_id']}"}
    status, grant = await market.call(operator, "POST", "/grants", given, **key_of_grant)
    assert status == 201, grant
    _, invited = await market.call(owner, "POST", "/account/team/invitations", invitation)
    mail = {"kind": "email", "name": "Us", "addresses": ["us@example.com"]}
    status, channel = await market.call(owner, "POST", "/alerts/channels", mail)
    assert status == 201, channel
    return {
        "org_id": (await market.call(owner, "GET", "/account"))[1]["org_id"],
        "user_id": await market.member(owner, "member"),
        "invitation_id": invited["invitation_id"],
        "instance_id": order["instance_id"],
        "order_id": order["order_id"],
        "run_id": run["run_id"],
        "source_id": source["source_id"],
        "connector_id": connector["connector_id"],
        "channel_id": channel["channel_id"],
        # Nothing was told yet; whose it would be is found before it is.
        "delivery_id": "delivery_of_nobody",
        "conversation_id": told[0]["conversation_id"],
        "key_id": keys[0]["key_id"],
        "subscription_id": subscriptions[0]["subscription_id"],
        "grant_id": grant["grant_id"],
        "letter_id": await _refused(market, given["org_id"]),
        "request_id": await _reconciled(market, operator),
        "provider": "stripe",
        "event_id": event["id"],
    }


async def _refused(market: Market, org_id: str) -> str:
    """Have a record of an org refused; return the id of the dead letter."""
    database = connect(SQLITE, Path(market.stack["data_dir"]))
    letter = DeadLetter(
        topic=topics.TOKENS.name,
        partition=0,
        offset=now_ms(),
        reason="undecodable",
        worker="tests",
        recorded_at_ms=now_ms(),
        key=org_id.encode(),
        value=b"{",
    )
    try:
        await dead_letters.take(database, [letter])
    finally:
        await database.close()
    return dead_letters.letter_id(letter)


async def _reconciled(market: Market, operator: dict[str, str]) -> str:
    """Return the id of a reconciliation of the marketplace's own."""
    await market.call(operator, "POST", "/reconciliations", {})
    listed = (await market.call(operator, "GET", "/reconciliations"))[1]["reconciliations"]
    return str(listed[0]["request_id"])


def operations(url: str) -> Iterator[APIOperation[Any]]:
    for result in schemathesis.openapi.from_url(f"{url}/openapi.json").get_all_operations():
        yield result.ok()


def refusals(
    operation: APIOperation[Any], ids: dict[str, str], callers: dict[str, dict[str, str]]
) -> list[str]:
    """Ask as each caller; return what was not refused as it should be."""
    names = [parameter.name for parameter in operation.path_parameters]
    wrong: list[str] = []
    refused: set[str] = set()

    @hypothesis.settings(
        max_examples=5,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        case.path_parameters = {name: ids.get(name, "x") for name in names}
        for who, headers in callers.items():
            sent = {"If-Match": '"1"', "Idempotency-Key": "of-a-stranger", **headers}
            case.headers = {**(case.headers or {}), **sent}
            request = case.as_transport_kwargs()
            with requests.request(
                **request, timeout=PATIENCE_S, stream=True, allow_redirects=False
            ) as answer:
                if answer.status_code in (403, 404):
                    refused.add(who)
                elif answer.status_code != 422:  # A schema says less of a body than its validators.
                    wrong.append(f"{operation.label} as {who}: {answer.status_code} {_text(answer)}")

    ask()
    return wrong + [f"{operation.label} as {who}: never refused" for who in callers.keys() - refused]


def _text(answer: requests.Response) -> str:
    return "" if STREAMS in answer.headers.get("content-type", "") else answer.text[:200]


async def test_nobody_reaches_what_belongs_to_others(market: Market) -> None:
    ids = await theirs(market, await market.org("Whom it belongs to"))
    callers = {
        "another org's owner": await market.org("Another org"),
        "another tenant's owner": await market.org("A stranger", tenant_id="elsewhere"),
        "another tenant's operator": await add_token(market.redis, "elsewhere", role="operator"),
        "nobody's viewer": await add_token(market.redis, TENANT, "org_that_is_not", role="viewer"),
    }
    asked, wrong = 0, []
    for operation in operations(market.stack["console_api_url"]):
        names = {parameter.name for parameter in operation.path_parameters} - OWN_NAMES
        assert names <= ids.keys(), f"{operation.label}: `theirs` has no such thing yet"
        if names:
            asked += 1
            wrong += await asyncio.to_thread(refusals, operation, ids, callers)
    assert wrong == []
    assert asked >= 20


async def test_a_viewer_changes_nothing(market: Market) -> None:
    owner = await market.org("With a viewer")
    ids = await theirs(market, owner)
    viewer = await add_token(market.redis, TENANT, ids["org_id"], role="viewer")
    asked, wrong = 0, []
    for operation in operations(market.stack["console_api_url"]):
        if operation.method.upper() != "GET" and operation.path not in SIGNED | QUESTIONS:
            asked += 1
            wrong += await asyncio.to_thread(refusals, operation, {**ids, "code": "x"}, {"viewer": viewer})
    assert wrong == []
    assert asked >= 20


async def test_no_list_shows_what_belongs_to_others(market: Market) -> None:
    ids = await theirs(market, await market.org("Whom it belongs to"))
    secret = {ids[name] for name in ids if name != "provider"}
    stranger = await market.org("A reader", tenant_id="elsewhere")
    operator = await add_token(market.redis, "elsewhere", role="operator")
    for operation in operations(market.stack["console_api_url"]):
        if operation.method.upper() != "GET" or list(operation.path_parameters):
            continue
        path = operation.path.removeprefix("/api/v1")
        if path == operation.path:
            continue  # Health and metrics are about nobody.
        for headers in (stranger, operator):
            status, body = await market.call(headers, "GET", path)
            assert status in (200, 400, 403, 404, 422), (operation.label, status, body)
            assert not [shown for shown in secret if shown in str(body)], operation.label


async def test_no_key_reaches_another_instances_runs(market: Market) -> None:
    ids = await theirs(market, await market.org("Whom it belongs to"))
    owner = await market.org("Another buyer")
    placed = await market.order(owner, "dummy")
    await market.call(owner, "POST", f"/orders/{placed['order_id']}:pay")
    order = await market.provisioned(owner)
    callers = {"another's key": {"X-API-Key": await market.welcome(owner, order["order_id"])}}
    wrong = []
    for operation in operations(market.stack["gateway_url"]):
        names = {parameter.name for parameter in operation.path_parameters} - OWN_NAMES
        assert names <= ids.keys(), f"{operation.label}: `theirs` has no such thing yet"
        if names:
            wrong += await asyncio.to_thread(refusals, operation, ids, callers)
    assert wrong == []
