"""Runs that happened elsewhere, reported over HTTP in every mode of CloudEvents."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import pytest_asyncio
from gateway_rig import Answered, Plane, Service, Tenant, assert_problem
from widget_rig import stopped

from gateway.intake.events import run_id_of
from kit import clock
from metering.price_schedule import Entry, PriceSchedule
from metering.windows import DAY_MS
from schemas import keys
from schemas.directory import Limits
from schemas.events import encode

_SINGLE, _BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
_DATA = {
    "model": "gpt-4o-mini",
    "input_uncached": 1_200,
    "cache_read": 800,
    "output": 310,
    "duration_ms": 400,
}


def moment(**ago: float) -> str:
    return (datetime.now(UTC) - timedelta(**ago)).isoformat()


def event(data: dict[str, Any] | None = None, **attributes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": uuid.uuid4().hex,
        "source": "jobs",
        "type": "runmeter.run",
        "time": moment(seconds=5),
        "data": _DATA if data is None else data,
        **attributes,
    }


async def report(
    plane: Plane, gateway: Service, tenant: Tenant, what: Any, kind: str = "", path: str = "/v1/events"
) -> Answered:
    kind = kind or (_BATCH if isinstance(what, list) else _SINGLE)
    body = what if isinstance(what, bytes) else msgspec.json.encode(what)
    headers = {"Authorization": f"Bearer {tenant.key}", "Content-Type": kind}
    return await plane.post(gateway, path, data=body, headers=headers)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def strict(plane: Plane, fast: Any) -> AsyncIterator[Service]:
    """A gateway that takes ten events a minute, five at once."""
    gateway = await plane.gateway(
        fast.runner, INTAKE_EVENTS_PER_MINUTE="10", INTAKE_MAX_BATCH_EVENTS="5", INTAKE_MAX_EVENT_BYTES="1024"
    )
    yield gateway
    await stopped(gateway)


async def test_a_report_is_durable_before_it_is_answered(plane: Plane, fast: Any, tenant: Tenant) -> None:
    sent = event({**_DATA, "tool_calls": [{"tool": "calculator"}]}, subject="customer-7")
    answered = await report(plane, fast.gateway, tenant, sent)

    assert (answered.status, answered.body) == (204, b"")
    metered = await plane.log.of(run_id_of(tenant.org_id, "jobs", sent["id"]))
    closing = metered.closing
    assert (closing.channel, closing.status, closing.model) == ("intake", "completed", "gpt-4o-mini")
    assert (closing.tokens_in, closing.tokens_out, closing.tool_calls) == (2_000, 310, 1)
    assert (closing.end_user, closing.key_id) == ("customer-7", tenant.key_record.key_id)
    assert closing.credits_micro > 0
    assert [tool.tool for tool in metered.tools] == ["calculator"]
    (tokens,) = metered.tokens
    assert (tokens.input_uncached, tokens.cache_read, tokens.final) == (1_200, 800, True)


async def test_said_twice_it_is_the_same_run_to_the_byte(plane: Plane, fast: Any, tenant: Tenant) -> None:
    sent = event()
    for _ in range(2):
        assert (await report(plane, fast.gateway, tenant, sent)).status == 204

    metered = await plane.log.of(run_id_of(tenant.org_id, "jobs", sent["id"]))
    assert [len(metered.runs), len(metered.tokens)] == [2, 2]
    assert len({encode(event) for event in metered.everything}) == 2


async def test_binary_mode_has_its_attributes_in_headers(plane: Plane, fast: Any, tenant: Tenant) -> None:
    source = "jobs/ünïted 100%"
    headers = {
        **tenant.headers,
        "Content-Type": "application/json; charset=utf-8",
        "ce-specversion": "1.0",
        "ce-id": "binary-1",
        "ce-source": quote(source),
        "ce-type": "runmeter.run",
        "ce-time": moment(seconds=1),
        "ce-subject": "customer-9",
    }
    answered = await plane.post(fast.gateway, "/v1/events", data=msgspec.json.encode(_DATA), headers=headers)

    assert answered.status == 204, answered.body
    closing = (await plane.log.of(run_id_of(tenant.org_id, source, "binary-1"))).closing
    assert (closing.tokens_in, closing.end_user) == (2_000, "customer-9")
    incomplete = {name: value for name, value in headers.items() if name != "ce-id"}
    answered = await plane.post(fast.gateway, "/v1/events", data=b"{}", headers=incomplete)
    assert_problem(answered, 422, "invalid_event")
    answered = await plane.post(fast.gateway, "/v1/events", data=b"{", headers=headers)
    assert_problem(answered, 422, "invalid_event")


async def test_a_batch_says_of_each_event_what_became_of_it(plane: Plane, fast: Any, tenant: Tenant) -> None:
    good = [event(), event({**_DATA, "status": "failed", "error_code": "model_error"})]
    bad = [event({**_DATA, "output": -1}), event(time=moment(days=30)), event(time=moment(hours=-1)), 7]
    sent = [good[0], *bad, good[1]]
    answered = await report(plane, fast.gateway, tenant, sent)

    assert answered.status == 207
    assert (answered.json["accepted"], answered.json["rejected"]) == (2, 4)
    results = answered.json["results"]
    assert [one["status"] for one in results] == [202, 422, 422, 422, 422, 202]
    assert [one["error"]["code"] for one in results[1:5]] == [
        "invalid_event",
        "event_too_old",
        "event_in_future",
        "invalid_event",
    ]
    assert "runmeter correct backfill" in results[2]["error"]["detail"]
    assert [one.get("id") for one in results[:4]] == [one["id"] for one in sent[:4]]
    for one, result in zip(good, (results[0], results[5]), strict=True):
        assert result["run_id"] == run_id_of(tenant.org_id, one["source"], one["id"])
        assert (await plane.log.of(result["run_id"])).closed
    assert (await plane.log.of(results[5]["run_id"])).closing.status == "failed"


async def test_a_batch_without_faults_is_200(plane: Plane, fast: Any, tenant: Tenant) -> None:
    sent = [event() for _ in range(300)]
    answered = await report(plane, fast.gateway, tenant, sent)

    assert (answered.status, answered.json["accepted"], answered.json["rejected"]) == (200, 300, 0)
    runs = await plane.log.runs_of(tenant.instance_id)
    assert all(runs[result["run_id"]].closed for result in answered.json["results"])
    assert (await report(plane, fast.gateway, tenant, [])).json == {
        "accepted": 0,
        "rejected": 0,
        "results": [],
    }


@pytest.mark.parametrize(
    ("what", "code"),
    [
        (b"", "invalid_event"),
        (b"{", "invalid_event"),
        (b"[]", "invalid_event"),
        (b"[" * 100_000, "invalid_event"),
        (b"\xff", "invalid_event"),
        (event(time=None), "event_without_time"),
        (event(time="2020-01-01T00:00:00Z"), "event_too_old"),
        (event(type="prompt"), "invalid_event"),
    ],
)
async def test_what_is_no_report_is_refused(
    plane: Plane, fast: Any, tenant: Tenant, what: Any, code: str
) -> None:
    assert_problem(await report(plane, fast.gateway, tenant, what, _SINGLE), 422, code)


@pytest.mark.parametrize("body", [b"{}", b"[", b"[" * 100_000, b"[1,]", b"\xff"])
async def test_a_batch_that_is_no_array_is_refused(
    plane: Plane, fast: Any, tenant: Tenant, body: bytes
) -> None:
    assert_problem(await report(plane, fast.gateway, tenant, body, _BATCH), 422, "invalid_event")


async def test_another_content_type_is_refused(plane: Plane, fast: Any, tenant: Tenant) -> None:
    answered = await report(plane, fast.gateway, tenant, event(), "text/plain")

    assert "application/cloudevents+json" in assert_problem(answered, 415, "unsupported_media_type")["detail"]


async def test_it_is_charged_though_nothing_is_left(plane: Plane, fast: Any) -> None:
    poor = await plane.tenant(credits_micro=0, limits=Limits(requests_per_minute=1, daily_cap_micro=1))
    for _ in range(3):
        sent = event()
        assert (await report(plane, fast.gateway, poor, sent)).status == 204
        assert (await plane.log.of(run_id_of(poor.org_id, "jobs", sent["id"]))).closing.credits_micro > 0
    assert await plane.held(poor) == {}


async def test_who_may_report(plane: Plane, fast: Any) -> None:
    widget = await plane.tenant(kind="widget", allowed_origins=("https://shop.example.com",))
    assert_problem(await report(plane, fast.gateway, widget, event()), 403, "key_kind_not_allowed")
    runner = await plane.tenant(scopes=("runs:write", "runs:read"))
    assert_problem(await report(plane, fast.gateway, runner, event()), 403, "missing_scope")
    other_plan = await plane.tenant(instance_fields={"channels": ("api",)})
    assert_problem(await report(plane, fast.gateway, other_plan, event()), 403, "channel_not_allowed")
    reporter = await plane.tenant(scopes=("usage:write",))
    assert (await report(plane, fast.gateway, reporter, event())).status == 204
    assert_problem(await plane.ask(fast.gateway, reporter), 403, "missing_scope")
    assert_problem(await plane.post(fast.gateway, "/v1/events", data=b"{}"), 401, "invalid_api_key")


async def test_events_are_limited_in_rate_number_and_size(plane: Plane, strict: Service) -> None:
    busy = await plane.tenant()
    answered = await report(plane, strict, busy, [event() for _ in range(6)])
    assert_problem(answered, 413, "too_many_events")
    large = await report(plane, strict, busy, event(extension="x" * 1_024))
    assert_problem(large, 422, "invalid_event")
    for _ in range(9):
        assert (await report(plane, strict, busy, event())).status == 204
    refused = await report(plane, strict, busy, [event(), event()])
    assert_problem(refused, 429, "rate_limited")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    other = await plane.tenant()
    assert (await report(plane, strict, other, [event(), event()])).status == 200


async def test_only_so_many_requests_are_worked_on_at_once(plane: Plane, fast: Any, tenant: Tenant) -> None:
    gateway = await plane.gateway(fast.runner, INTAKE_MAX_CONCURRENT_REQUESTS="1")
    batch = [event() for _ in range(50)]
    answers = await asyncio.gather(*(report(plane, gateway, tenant, batch) for _ in range(20)))
    refused = [answer for answer in answers if answer.status != 200]

    assert 0 < len(refused) < len(answers)
    for answer in refused:
        assert_problem(answer, 429, "gateway_busy")
        assert answer.headers["Retry-After"] == "1"
    assert (await report(plane, gateway, tenant, batch)).status == 200
    await stopped(gateway)


async def test_the_price_is_that_of_when_it_happened(plane: Plane, fast: Any) -> None:
    now = clock.now_ms()
    older, newer = (msgspec.structs.replace(plane.book, version=f"intake-{n}", per_run=n) for n in (1, 2))
    for book in (older, newer):
        await plane.redis.set(keys.price_book(book.version), msgspec.json.encode(book))
    entries = (
        Entry(effective_from_ms=now - 3 * DAY_MS, version=older.version),
        Entry(effective_from_ms=now - DAY_MS, version=newer.version),
    )
    seller = clock.new_id("tnt")
    await plane.redis.set(keys.price_schedule(seller), msgspec.json.encode(PriceSchedule(entries)))
    buyer = await plane.tenant(tenant_id=seller)
    sent = [event(time=moment(days=days)) for days in (0, 2, 4)]
    answered = await report(plane, fast.gateway, buyer, sent)

    *priced, unpriced = answered.json["results"]
    closings = [(await plane.log.of(result["run_id"])).closing for result in priced]
    assert [closing.price_version for closing in closings] == ["intake-2", "intake-1"]
    assert closings[0].credits_micro == closings[1].credits_micro + 1
    assert unpriced["error"]["code"] == "no_prices"


async def test_openmeters_call_works(plane: Plane, fast: Any, tenant: Tenant) -> None:
    path = "/api/v1/events"
    sent = event(subject="customer-1", datacontenttype="application/json", dataschema=None)
    for kind, what in ((_SINGLE, sent), (_BATCH, [sent]), ("application/json", sent)):
        answered = await report(plane, fast.gateway, tenant, what, kind, path)
        assert (answered.status, answered.body) == (204, b"")
    assert (await plane.log.of(run_id_of(tenant.org_id, "jobs", sent["id"]))).closing.end_user == "customer-1"
    answered = await report(plane, fast.gateway, tenant, [sent, event(type="prompt")], _BATCH, path)
    problem = assert_problem(answered, 422, "invalid_event")
    assert [one["status"] for one in problem["results"]] == [202, 422]
