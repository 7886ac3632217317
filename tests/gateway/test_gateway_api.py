"""The gateway's public API, driven over HTTP against a whole stack."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition
from containers import redis_at
from redis.asyncio import Redis
from waiting import PATIENCE_S, eventually

from kit import api_keys, redis_client
from kit.settings import KafkaSettings
from schemas import keys, topics
from schemas.directory import ApiKeyRecord
from schemas.events import RunEvent, TokenEvent, ToolCallEvent
from schemas.partitioning import partition_of

Stack = dict[str, Any]
PARTITIONS = KafkaSettings().partitions


@pytest_asyncio.fixture(loop_scope="session")
async def client(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"X-API-Key": stack["demo"]["api_key"]}
    async with httpx.AsyncClient(
        base_url=stack["gateway_url"], headers=headers, timeout=PATIENCE_S
    ) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def redis(stack: Stack) -> AsyncIterator[Redis]:
    opened = redis_client.connect(redis_at(stack["redis_url"]))
    yield opened
    await opened.aclose()


async def events_of(stack: Stack, run_id: str) -> list[Any]:
    """Return all usage events of a run of the demo's that Kafka holds, by topic and offset."""
    found: list[Any] = []
    org_id = stack["demo"]["org_id"]
    partition = partition_of(org_id, PARTITIONS)
    consumer = AIOKafkaConsumer(bootstrap_servers=stack["kafka_bootstrap"], group_id=None)
    await consumer.start()
    try:
        for topic in (topics.RUNS, topics.TOKENS, topics.TOOL_CALLS):
            tp = TopicPartition(topic.name, partition)
            consumer.assign([tp])
            await consumer.seek_to_beginning(tp)
            end = (await consumer.end_offsets([tp]))[tp]
            while await consumer.position(tp) < end:
                for records in (await consumer.getmany(timeout_ms=1_000)).values():
                    # Of others' records some are poison, on purpose.
                    own = (record for record in records if record.key == org_id.encode())
                    found += [msgspec.json.decode(record.value, type=topic.event) for record in own]
    finally:
        await consumer.stop()
    return [event for event in found if event.run_id == run_id]


def sse(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Return a stream's events."""
    parsed = []
    for block in filter(None, text.split("\n\n")):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        parsed.append((lines["event"], json.loads(lines["data"])))
    return parsed


async def test_a_run_is_answered_with_its_usage_and_leaves_exactly_its_events(
    stack: Stack, client: httpx.AsyncClient
) -> None:
    answer = (await client.post("/v1/runs", json={"input": "What is 17 * 3?"})).json()

    assert set(answer) >= {"run_id", "status", "output", "usage"}
    assert set(answer["usage"]) == {"tokens_in", "tokens_out", "tool_calls", "duration_ms", "credits"}
    assert "51" in answer["output"]
    events = await events_of(stack, answer["run_id"])
    opening, closing = [event for event in events if isinstance(event, RunEvent)]
    assert (opening.status, closing.status) == ("started", "completed")
    calls = [event for event in events if isinstance(event, TokenEvent) and event.final]
    assert sum(e.input_uncached + e.cache_read + e.cache_write for e in calls) == closing.tokens_in
    assert sum(event.output for event in calls) == closing.tokens_out == answer["usage"]["tokens_out"]
    assert [e.tool for e in events if isinstance(e, ToolCallEvent)] == ["calculator"]
    assert {event.source for event in calls} == {"provider"}
    named = {field: getattr(closing, field) for field in ("tenant_id", "org_id", "instance_id", "model")}
    assert all(named.values())


async def test_a_stream_tells_the_same_as_its_end(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/runs", json={"input": "Explain delivery options", "stream": True})

    events = sse(response.text)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert events[0][0] == "run.started"
    assert events[-1][0] == "run.completed"
    deltas = "".join(data["text"] for name, data in events if name == "message.delta")
    assert deltas == events[-1][1]["output"]
    assert events[-1][1]["usage"]["tokens_out"] > 0


async def test_a_cancelled_run_ends_soon_and_is_metered_for_what_it_used(
    stack: Stack, client: httpx.AsyncClient
) -> None:
    body = {"input": "[[fault:length:900]] tell me a long story", "stream": True, "max_tokens": 1000}
    async with client.stream("POST", "/v1/runs", json=body) as response:
        run_id = response.headers["x-run-id"]
        lines = response.aiter_lines()
        seen = 0
        async for line in lines:
            seen += line == "event: message.delta"
            if seen == 3:
                break
        assert (await client.post(f"/v1/runs/{run_id}/cancel")).status_code == 202
        rest = [line async for line in lines]

    assert any(line == "event: run.cancelled" for line in rest)
    answer = (await client.get(f"/v1/runs/{run_id}")).json()
    assert answer["status"] == "cancelled"
    assert 0 < answer["usage"]["tokens_out"] < 900
    tokens = [e for e in await events_of(stack, run_id) if isinstance(e, TokenEvent)]
    assert tokens[-1].source == "partial"
    assert tokens[-1].output == answer["usage"]["tokens_out"]


async def test_a_client_that_leaves_cancels_its_run(client: httpx.AsyncClient) -> None:
    body = {"input": "[[fault:length:900]] another long story", "stream": True, "max_tokens": 1000}
    async with client.stream("POST", "/v1/runs", json=body) as response:
        run_id = response.headers["x-run-id"]
        async for line in response.aiter_lines():
            if line == "event: message.delta":
                break

    async def closed() -> bool:
        return bool((await client.get(f"/v1/runs/{run_id}")).json()["status"] == "cancelled")

    await eventually(closed, "the abandoned run is closed")


@pytest.mark.parametrize(
    ("fault", "code"),
    [("500", "upstream_500"), ("cut:3", "upstream_cut"), ("bad-json", "upstream_malformed")],
)
async def test_a_failing_model_ends_the_run_as_failed(
    client: httpx.AsyncClient, fault: str, code: str
) -> None:
    response = await client.post("/v1/runs", json={"input": f"[[fault:{fault}]] please explain warranty"})

    assert response.status_code == 502
    assert response.json()["status"] == "failed"
    assert response.json()["error"]["code"] == code


async def test_usage_the_provider_did_not_tell_is_counted_and_marked(
    stack: Stack, client: httpx.AsyncClient
) -> None:
    answer = (await client.post("/v1/runs", json={"input": "[[fault:no-usage]] explain warranty"})).json()

    assert answer["usage"]["tokens_out"] > 0
    tokens = [e for e in await events_of(stack, answer["run_id"]) if isinstance(e, TokenEvent)]
    assert [(event.source, event.final) for event in tokens][-1] == ("estimate", True)


async def test_a_repeated_request_gets_the_first_answer_and_no_second_run(
    client: httpx.AsyncClient,
) -> None:
    headers = {"Idempotency-Key": f"once-{time.time_ns()}"}
    body = {"input": "Explain the refund policy"}

    answers = await asyncio.gather(*[client.post("/v1/runs", json=body, headers=headers) for _ in range(20)])

    assert {response.status_code for response in answers} == {200}
    assert len({response.json()["run_id"] for response in answers}) == 1
    assert sum("idempotent-replay" not in response.headers for response in answers) == 1
    other = await client.post("/v1/runs", json={"input": "Something else"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{not json", 422, "invalid_request"),
        (b"{}", 422, "invalid_request"),
        (b'{"input":"a","messages":[]}', 422, "invalid_request"),
        (b'{"input":""}', 422, "invalid_request"),
        (b'{"input":"a","surprise":1}', 422, "invalid_request"),
        (b'{"input":"a","max_tokens":0}', 422, "invalid_request"),
        (b'{"input":"a","model":"gpt-nowhere"}', 422, "unknown_model"),
        (b'{"input":"' + b"a" * 1_100_000 + b'"}', 413, "body_too_large"),
    ],
)
async def test_bad_input_is_refused_with_a_problem(
    client: httpx.AsyncClient, body: bytes, status: int, code: str
) -> None:
    response = await client.post("/v1/runs", content=body)

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"].startswith("application/problem+json")
    if code == "unknown_model":
        assert "gpt-4o-mini" in response.json()["allowed"]


@pytest.mark.parametrize("key", ["", "nonsense", api_keys.mint("sk").key], ids=["none", "odd", "unknown"])
async def test_a_key_that_is_none_is_refused(client: httpx.AsyncClient, key: str) -> None:
    response = await client.post("/v1/runs", json={"input": "a"}, headers={"X-API-Key": key})

    assert (response.status_code, response.json()["code"]) == (401, "invalid_api_key")


async def test_a_revoked_key_stops_at_once(stack: Stack, client: httpx.AsyncClient, redis: Redis) -> None:
    minted, demo = api_keys.mint("sk"), stack["demo"]
    record = ApiKeyRecord(
        key_id=minted.key_id,
        kind="secret",
        tenant_id=demo["tenant_id"],
        org_id=demo["org_id"],
        instance_id=demo["instance_id"],
    )
    await redis.set(keys.api_key(minted.digest), msgspec.json.encode(record))
    headers = {"X-API-Key": minted.key}
    assert (await client.get("/v1/runs/run_none", headers=headers)).status_code == 404

    revoked = msgspec.structs.replace(record, revoked=True)
    await redis.set(keys.api_key(minted.digest), msgspec.json.encode(revoked))
    await redis.publish(keys.KEY_CHANGED_CHANNEL, minted.digest)

    async def refused() -> bool:
        return (await client.get("/v1/runs/run_none", headers=headers)).status_code == 401

    await eventually(refused, "the revoked key is refused")


async def test_an_empty_wallet_is_refused_and_nothing_is_held(
    stack: Stack, client: httpx.AsyncClient, redis: Redis
) -> None:
    minted = api_keys.mint("sk")
    instance = json.loads(await redis.get(keys.instance(stack["demo"]["instance_id"])) or b"{}")
    poor = {**instance, "instance_id": "inst_poor", "org_id": "org_poor"}
    record = ApiKeyRecord(
        key_id=minted.key_id,
        kind="secret",
        tenant_id=stack["demo"]["tenant_id"],
        org_id="org_poor",
        instance_id="inst_poor",
    )
    await redis.set(keys.instance("inst_poor"), json.dumps(poor))
    await redis.set(keys.api_key(minted.digest), msgspec.json.encode(record))

    response = await client.post("/v1/runs", json={"input": "a"}, headers={"X-API-Key": minted.key})

    assert (response.status_code, response.json()["code"]) == (402, "insufficient_credits")
    assert response.json()["limit_source"] == "org_wallet"
    assert not await redis.exists(keys.holds(partition_of("org_poor", PARTITIONS), "org_poor"))


async def test_holds_are_released_once_the_runs_are_settled(
    stack: Stack, client: httpx.AsyncClient, redis: Redis
) -> None:
    await asyncio.gather(*[client.post("/v1/runs", json={"input": f"Question {n}"}) for n in range(5)])
    partition, org = partition_of(stack["demo"]["org_id"], PARTITIONS), stack["demo"]["org_id"]

    async def released() -> bool:
        held = int(await redis.hget(keys.wallet(partition, org), "held") or 0)
        return held == 0 and not await redis.hlen(keys.holds(partition, org))

    await eventually(released, "nothing is held when nothing runs")


async def test_the_openapi_document_names_the_routes(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()

    assert {"/v1/runs", "/v1/runs/{run_id}", "/v1/runs/{run_id}/cancel"} <= set(document["paths"])
    body = document["paths"]["/v1/runs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert {"input", "messages", "stream", "model", "max_tokens"} <= set(body["properties"])
    unknown = await client.get("/v1/nowhere")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
