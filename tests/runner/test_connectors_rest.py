"""APIs by their OpenAPI document: chosen operations are tools, and no call leaves the document's server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from third_parties import ThirdParty, third_party

from kit.connectors import KINDS
from kit.connectors.port import Action, BadSettings, ConnectorFailed

REST = KINDS["rest"]
ORDER = {"type": "object", "properties": {"sku": {"type": "string"}, "parent": {"$ref": "#/x/y~1z"}}}


def document(url: str = "https://api.example.com/v2", **operation: Any) -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "servers": [{"url": url}],
        "paths": {
            "/orders/{id}": {
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
                "get": {
                    "operationId": "getOrder",
                    "summary": "Look up an order",
                    "parameters": [
                        {"name": "expand", "in": "query", "schema": {"type": "array"}},
                        {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                    ],
                    **operation,
                },
            },
            "/orders": {
                "get": {"operationId": "listOrders"},
                "post": {
                    "operationId": "orders.create",
                    "requestBody": {
                        "required": True,
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}},
                    },
                },
            },
        },
        "components": {"schemas": {"Order": {**ORDER, "example": {"sku": "x" * 100}}}},
        "x": {"y/z": {"type": "string"}},
    }


@pytest_asyncio.fixture
async def party() -> AsyncIterator[ThirdParty]:
    async with third_party() as made:
        yield made


def actions(party: ThirdParty, *names: str, credentials: dict[str, Any] | None = None) -> dict[str, Action]:
    kept = REST.reduced({"document": document(f"{party.url}/v2"), "operations": list(names)})
    made = REST.connector("Shop API", kept, credentials or {}, party.outbound())
    return {action.name: action for action in made.actions()}


def test_only_chosen_operations_are_kept_and_nothing_else_of_the_document() -> None:
    kept = REST.reduced({"document": document(), "operations": ["orders.create"]})

    assert kept["base_url"] == "https://api.example.com/v2"
    [operation] = kept["operations"]
    assert (operation["name"], operation["method"], operation["path"]) == ("orders.create", "post", "/orders")
    assert operation["body"] == {
        "type": "object",
        "properties": {"sku": {"type": "string"}, "parent": {"type": "string"}},
    }


async def test_parameters_stay_where_they_belong(party: ThirdParty) -> None:
    party.says({"id": 7})
    made = actions(party, "getOrder", credentials={"scheme": "bearer", "token": "s3cret"})
    action = made["shop_api_getOrder"]

    told = await action.call({"id": "../../admin?x=1#y", "expand": ["a b", "c&d"], "X-Trace": "evil"})

    [asked] = party.asked
    assert (asked.method, asked.path) == ("GET", "/v2/orders/..%2F..%2Fadmin%3Fx%3D1%23y")
    assert asked.query == "expand=a+b&expand=c%26d"
    assert asked.headers["Authorization"] == "Bearer s3cret"
    assert "X-Trace" not in asked.headers
    assert action.parameters["required"] == ["id"]
    assert told == '{"id": 7}'


@pytest.mark.parametrize("value", ["", ".", "..", None, {"a": 1}, "x" * 2_000])
async def test_a_path_cannot_be_left(party: ThirdParty, value: object) -> None:
    with pytest.raises(ConnectorFailed):
        await actions(party, "getOrder")["shop_api_getOrder"].call({"id": value})

    assert party.asked == []


async def test_a_body_is_sent_as_json(party: ThirdParty) -> None:
    party.says({"id": 8}, status=201)
    create = actions(party, "orders.create")["shop_api_orders_create"]

    assert await create.call({"body": {"sku": "A"}}) == '{"id": 8}'
    assert (party.asked[0].method, party.asked[0].json) == ("POST", {"sku": "A"})
    with pytest.raises(ConnectorFailed, match="`body` is missing"):
        await create.call({})


async def test_a_refusal_is_told_to_the_model(party: ThirdParty) -> None:
    party.says({"error": "no such order"}, status=404)

    with pytest.raises(ConnectorFailed, match=r"404: .*no such order"):
        await actions(party, "getOrder")["shop_api_getOrder"].call({"id": "7"})


@pytest.mark.parametrize(
    ("credentials", "header", "value"),
    [
        ({"scheme": "basic", "username": "ada", "password": "pw"}, "Authorization", "Basic YWRhOnB3"),
        ({"scheme": "header", "header": "X-Api-Key", "token": "k"}, "X-Api-Key", "k"),
    ],
)
async def test_calls_are_signed_in(
    party: ThirdParty, credentials: dict[str, Any], header: str, value: str
) -> None:
    party.says({})
    await actions(party, "getOrder", credentials=credentials)["shop_api_getOrder"].call({"id": "7"})

    assert party.asked[0].headers[header] == value


async def test_it_is_tried_by_the_simplest_reading_there_is(party: ThirdParty) -> None:
    party.says([])
    kept = REST.reduced({"document": document(party.url), "operations": ["orders.create", "listOrders"]})
    made = REST.connector("Shop", kept, {}, party.outbound())

    assert await made.test() == "the API answered with status 200"
    assert (party.asked[0].method, party.asked[0].path) == ("GET", "/orders")
    party.says({}, status=403)
    with pytest.raises(ConnectorFailed, match="check the credentials"):
        await made.test()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"document": {"swagger": "2.0"}}, "OpenAPI 3"),
        ({"operations": ["deleteAll"]}, "no operation 'deleteAll'; it has: getOrder"),
        ({"operations": []}, "length"),
        ({"document": document(url="/relative")}, "base_url"),
        ({"document": document(url="https://{tenant}.example.com")}, "base_url"),
        ({"document": document(servers=[{"url": "https://evil.example.org"}])}, "another server"),
        ({"document": document(requestBody={"$ref": "other.json#/x"})}, "other documents"),
        ({"document": document(requestBody={"content": {"text/csv": {}}})}, "no JSON body"),
        (
            {"document": document(description="x", parameters=[{"name": "x" * 200, "in": "query"}])},
            "getOrder",
        ),
    ],
)
def test_documents_that_no_tools_can_be_made_of_are_refused(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(BadSettings, match=told):
        REST.reduced({"document": document(), "operations": ["getOrder"], **changed})


def test_a_schema_that_holds_itself_has_an_end() -> None:
    looping = document()
    looping["components"]["schemas"]["Order"] = {
        "type": "object",
        "properties": {"parent": {"$ref": "#/components/schemas/Order"}},
    }

    [operation] = REST.reduced({"document": looping, "operations": ["orders.create"]})["operations"]

    assert str(operation["body"]).count("parent") <= 13


def test_a_schema_that_holds_itself_often_is_refused_at_once() -> None:
    looping = document()
    reference = {"$ref": "#/components/schemas/Order"}
    looping["components"]["schemas"]["Order"] = {
        "type": "object",
        "properties": {f"p{n}": reference for n in range(50)},
    }

    with pytest.raises(BadSettings, match="more than 400 parts"):
        REST.reduced({"document": looping, "operations": ["orders.create"]})


def test_a_reference_to_itself_has_an_end() -> None:
    looping = document()
    looping["components"]["schemas"]["Order"] = {"$ref": "#/components/schemas/Order"}

    [operation] = REST.reduced({"document": looping, "operations": ["orders.create"]})["operations"]

    assert operation["body"] == {}


@pytest.mark.parametrize(
    "credentials",
    [
        {"scheme": "bearer"},
        {"scheme": "bearer", "token": "a\r\nb"},
        {"scheme": "header", "token": "k", "header": "Host"},
        {"scheme": "header", "token": "k"},
        {"scheme": "basic"},
    ],
)
def test_credentials_that_lack_something_are_refused(party_url: str, credentials: dict[str, Any]) -> None:
    kept = REST.reduced({"document": document(party_url), "operations": ["getOrder"]})

    with pytest.raises(BadSettings):
        REST.connector("x", kept, credentials, ThirdParty(party_url).outbound())


@pytest.fixture
def party_url() -> str:
    return "https://api.example.com"
