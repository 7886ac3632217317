"""An operator corrects a run: previewed with the worker's own state, sent once, through the outbox."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import pytest_asyncio
from control_server import Answer, Api
from control_world import NOW
from test_prices_api import BOOK

from console_api.control.directory import prices
from kit.clock import new_id
from kit.settings import KafkaSettings
from metering.corrections import corrected_cost
from metering.metered import MeteredRun
from metering.runs import fold
from metering.totals import totals_of
from schemas import keys, topics
from schemas.directory import Role
from schemas.events import CorrectionEvent, RunEvent, TokenEvent
from schemas.partitioning import partition_of

KEY = "correct-once-1"
#: 1,000,000 tokens in and 500,000 out of `small`, with the run's fee.
CHARGED = 1_000_000 + 2_000_000 + 7


@pytest_asyncio.fixture
async def run_id(api: Api) -> str:
    """A run that the metering worker charged for."""
    async with api.world.database.writing() as session:
        tenant_id = api.world.tenant_id
        await prices.publish_book(session, tenant_id, BOOK, actor="test", at_ms=NOW)
        await prices.schedule_book(session, tenant_id, BOOK.version, 0, actor="test", at_ms=NOW)
    run_id = new_id("run")
    whose: dict[str, Any] = {
        "tenant_id": tenant_id,
        "org_id": api.world.org_id,
        "instance_id": api.world.instance_id,
        "run_id": run_id,
        "channel": "api",
        "price_version": BOOK.version,
        "started_at_ms": NOW - 1_000,
        "occurred_at_ms": NOW,
    }
    events = [
        RunEvent(**whose, status="completed", model="small"),
        TokenEvent(
            **whose,
            call_id="call_1",
            seq=1,
            model="small",
            input_uncached=1_000_000,
            output=500_000,
            final=True,
        ),
    ]
    state = fold(None, [(event, False) for event in events])
    amended, charge, adjustments = corrected_cost(state, {BOOK.version: BOOK})
    stored = MeteredRun(state, totals_of(amended, charge.micro), adjustments)
    partition = partition_of(api.world.org_id, KafkaSettings().partitions)
    await api.redis.set(keys.run(partition, run_id), msgspec.msgpack.encode(stored))
    return run_id


async def _ask(api: Api, method: str, path: str, body: Any = None, key: str = KEY) -> Answer:
    headers = await api.headers("operator", "")
    return await api(method, path, body, headers=headers, **({"Idempotency-Key": key} if body else {}))


async def _sent(api: Api) -> list[CorrectionEvent]:
    rows = [row for row in await api.world.outbox() if row.topic == topics.CORRECTIONS.name]
    return [msgspec.json.decode(row.payload, type=CorrectionEvent) for row in rows]


async def test_a_run_is_voided_once_and_the_preview_said_so(api: Api, run_id: str) -> None:
    terms = {"kind": "void", "run_id": run_id, "reason": "it answered nonsense"}
    seen = (await _ask(api, "POST", "/corrections:preview", terms)).body
    assert (seen["charged_micro"], seen["change_micro"]) == (CHARGED, -CHARGED)
    assert (seen["org_id"], seen["models"]) == (api.world.org_id, ["small"])
    assert await _sent(api) == []

    answers = [await _ask(api, "POST", "/corrections", terms) for _ in range(2)]

    assert [answer.status for answer in answers] == [201, 201]
    assert answers[0].body == answers[1].body
    (event,) = await _sent(api)
    assert (event.run_id, event.kind, event.org_id) == (run_id, "void", api.world.org_id)
    assert event.request_id == answers[0].body["request_id"]
    assert event.started_at_ms == NOW - 1_000
    (entry,) = await api.world.audited(run_id)
    assert (entry.action, entry.details["expected_micro"]) == ("run.void", -CHARGED)
    (listed,) = (await _ask(api, "GET", "/corrections")).body["corrections"]
    assert (listed["expected_micro"], listed["applied_micro"]) == (-CHARGED, None)
    assert listed["requested_by"] == "operator@example.com"


async def test_a_call_is_amended_or_added(api: Api, run_id: str) -> None:
    amend = {"kind": "amend", "run_id": run_id, "reason": "the provider said otherwise"}
    half = {"call_id": "call_1", "input_uncached": 500_000, "output": 500_000}
    more = {"model": "small", "input_uncached": 1_000_000}
    for usage, change in ((half, -500_000), (more, 1_000_000)):
        seen = (await _ask(api, "POST", "/corrections:preview", {**amend, "usage": usage})).body
        assert seen["change_micro"] == change
    assert (await _ask(api, "POST", "/corrections", {**amend, "usage": half})).status == 201
    (event,) = await _sent(api)
    assert (event.call_id, event.input_uncached, event.output) == ("call_1", 500_000, 500_000)


async def test_a_run_is_rerated_by_a_book_that_is_published(api: Api, run_id: str) -> None:
    dear = {"book": {"name": "dear", "base": BOOK.version, "mark_up_permille": 1_000}}
    version = (await _ask(api, "POST", "/prices", dear)).body["entries"][0]["version"]
    terms = {"kind": "rerate", "run_id": run_id, "price_version": version, "reason": "agreed so"}
    seen = (await _ask(api, "POST", "/corrections:preview", terms)).body
    assert seen["change_micro"] == 3_000_000

    unknown = await _ask(api, "POST", "/corrections", {**terms, "price_version": "nobodys"})
    assert (unknown.status, unknown.body["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "amend"},
        {"kind": "amend", "usage": {"call_id": "not-there"}},
        {"kind": "amend", "usage": {"output": -1}},
        {"kind": "rerate"},
        {"kind": "void", "price_version": "x"},
        {"kind": "void", "usage": {}},
        {"reason": ""},
    ],
)
async def test_a_correction_that_makes_no_sense_is_refused(
    api: Api, run_id: str, changes: dict[str, Any]
) -> None:
    terms = {"kind": "void", "run_id": run_id, "reason": "because", **changes}
    for path in ("/corrections:preview", "/corrections"):
        answer = await _ask(api, "POST", path, terms)
        assert (answer.status, answer.body["code"]) == (422, "invalid_request")
    assert await _sent(api) == []


async def test_a_key_stands_for_one_correction_only(api: Api, run_id: str) -> None:
    void = {"kind": "void", "run_id": run_id, "reason": "because"}
    await _ask(api, "POST", "/corrections", void)
    amend = {**void, "kind": "amend", "usage": {"model": "small", "output": 5}}
    assert (await _ask(api, "POST", "/corrections", amend)).status == 409


async def test_a_run_that_is_not_kept_any_more_says_what_to_do(api: Api) -> None:
    terms = {"kind": "void", "run_id": "run_long_gone", "reason": "because"}
    answer = await _ask(api, "POST", "/corrections:preview", terms)
    assert answer.status == 404
    assert "grant of kind correction" in answer.body["detail"]


@pytest.mark.parametrize("role", ["owner", "admin", "member", "viewer"])
async def test_only_operators_correct(api: Api, run_id: str, role: Role) -> None:
    terms = {"kind": "void", "run_id": run_id, "reason": "for free, please"}
    for method, path, body in (
        ("GET", "/corrections", None),
        ("POST", "/corrections", terms),
        ("POST", "/corrections:preview", terms),
    ):
        answer = await api(method, path, body, role=role, **{"Idempotency-Key": "not-allowed"})
        assert (answer.status, answer.body["code"]) == (403, "forbidden")


async def test_another_tenants_run_is_not_there(api: Api, run_id: str) -> None:
    stranger = {**await api.headers("operator", "", "tenant_elsewhere"), "Idempotency-Key": "a-stranger"}
    terms = {"kind": "void", "run_id": run_id, "reason": "not mine"}
    for path in ("/corrections:preview", "/corrections"):
        assert (await api("POST", path, terms, headers=stranger)).status == 404
