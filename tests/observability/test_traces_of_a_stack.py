"""One run is one trace: from the client's `traceparent` to the rows in ClickHouse."""

from __future__ import annotations

import json
import secrets

import httpx
from observed_stack import Observed
from waiting import until

from kit import tracing

#: Service → what its spans of a run are called.
STATIONS = {
    "runmeter-gateway": {"POST /v1/runs", "admit", "run", "publish usage.runs"},
    "runmeter-runner": {"execute", "chat gpt-4o-mini", "execute_tool", "publish usage.tokens"},
    "runmeter-metering": {"apply usage"},
    "runmeter-warehouse": {"store usage", "INSERT run_events", "INSERT token_events"},
}
SECRET = "the tulips are blue"


def ask(observed: Observed, text: str, **headers: str) -> httpx.Response:
    demo = observed.up["demo"]
    return httpx.post(
        f"{observed.up['gateway_url']}/v1/runs",
        json={"input": text, "max_tokens": 200, "end_user": SECRET},
        headers={"X-API-Key": demo["api_key"], **headers},
        timeout=60,
    )


async def test_one_trace_holds_every_station_of_a_run(observed: Observed) -> None:
    trace_id, parent = secrets.token_hex(16), secrets.token_hex(8)

    answer = ask(observed, "What is 17 * 23?", traceparent=f"00-{trace_id}-{parent}-01")

    assert answer.status_code == 200, answer.text
    run_id = answer.json()["run_id"]

    def missing() -> dict[str, set[str]]:
        found = observed.receiver.of(trace_id)
        lacks = {service: names - {s.name for s in found[service]} for service, names in STATIONS.items()}
        return {service: names for service, names in lacks.items() if names}

    try:
        await until(lambda: not missing())
    except AssertionError:
        raise AssertionError(f"the trace lacks {missing()}") from None
    spans = [span for found in observed.receiver.of(trace_id).values() for span in found]
    by_id = {span.span_id: span for span in spans}
    entry = next(span for span in spans if span.name == "POST /v1/runs")
    assert entry.parent_span_id.hex() == parent
    # Every span hangs on another one, up to the client's.
    assert {s.parent_span_id.hex() for s in spans if s.parent_span_id not in by_id} == {parent}
    told = {a.key: a.value.string_value for span in spans for a in span.attributes}
    assert told["run_id"] == run_id


async def test_a_batch_is_one_span_that_names_those_who_published_its_records(observed: Observed) -> None:
    trace_id = secrets.token_hex(16)
    ask(observed, "Hello", traceparent=f"00-{trace_id}-{secrets.token_hex(8)}-01")
    published: set[bytes] = set()
    linked: list[set[bytes]] = []

    def applied() -> bool:
        found = observed.receiver.of(trace_id)
        senders = [*found["runmeter-gateway"], *found["runmeter-runner"]]
        published.update(s.span_id for s in senders if s.name.startswith("publish usage."))
        linked[:] = [
            {link.span_id for link in batch.links if link.trace_id.hex() == trace_id}
            for batch in found["runmeter-metering"]
        ]
        return len(published) >= 3 and published == set().union(*linked)

    await until(applied, "every published event is linked to by a batch")
    assert all(linked)
    assert len(linked) <= len(published)


async def test_spans_hold_nothing_that_was_said_and_no_key(observed: Observed) -> None:
    assert ask(observed, SECRET, traceparent="nonsense").status_code == 200
    seen = len(observed.receiver.spans)
    assert ask(observed, SECRET).status_code == 200
    await until(lambda: len(observed.receiver.spans) > seen + 5)

    for secret in (SECRET, observed.up["demo"]["api_key"], "Bearer"):
        assert secret.encode() not in observed.receiver.raw


async def test_the_lines_about_a_run_carry_its_id_and_its_trace(observed: Observed) -> None:
    trace_id = secrets.token_hex(16)
    answer = ask(observed, "order [[fault:500]]", traceparent=f"00-{trace_id}-{secrets.token_hex(8)}-01")
    run_id = answer.json().get("run_id", "")

    def lines() -> list[dict[str, str]]:
        logged = [
            json.loads(line)
            for part in ("gateway", "runner")
            for line in (observed.data_dir / "logs" / f"{part}.log").read_text().splitlines()
            if line.startswith("{")
        ]
        return [line for line in logged if line.get("run_id") == run_id]

    await until(lambda: any(line.get("trace_id") == trace_id for line in lines()))


def test_it_is_off_unless_an_endpoint_is_set() -> None:
    assert not tracing.on()
    assert tracing.span("run") is tracing.sending("usage.runs")
    assert tracing.linked("apply", [[("traceparent", b"x")]], {}) is tracing.span("run")
    assert tracing.traceparent() == ""
