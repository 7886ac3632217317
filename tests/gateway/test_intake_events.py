"""A report as usage events: the same ones whenever it is repeated, whoever prices it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.intake.events import run_id_of, times_of, usage_of
from gateway.intake.models import event_of
from gateway.keys import Caller
from metering.prices import PriceBook, Rates, cost
from metering.runs import fold
from schemas.directory import ApiKeyRecord, InstanceRecord
from schemas.events import TokenEvent, encode
from stack import backfill

_RATES = Rates(
    input=1_000_000, cache_read=100_000, cache_write=2_000_000, output=4_000_000, reasoning=5_000_000
)
BOOK = PriceBook(
    version="list-1", models={"gpt-4o": _RATES}, default=_RATES, per_run=7, tools={"search": 1_000}
)
CALLER = Caller(
    ApiKeyRecord(key_id="key_1", kind="secret", tenant_id="acme", org_id="org_1", instance_id="inst_1"),
    InstanceRecord(
        instance_id="inst_1",
        tenant_id="acme",
        org_id="org_1",
        name="Agent",
        status="active",
        default_model="gpt-4o",
        models=("gpt-4o",),
    ),
    BOOK,
    0,
)
_DATA = {
    "model": "gpt-4o",
    "input_uncached": 100,
    "cache_read": 50,
    "cache_write": 10,
    "output": 30,
    "reasoning": 5,
    "tool_calls": [{"tool": "search", "duration_ms": 20}, {"tool": "other", "status": "error"}],
    "duration_ms": 2_000,
}


def report(data: dict[str, Any] | None = None, **attributes: Any) -> Any:
    event = {
        "specversion": "1.0",
        "id": "17",
        "source": "jobs",
        "type": "runmeter.run",
        "time": "2026-05-04T12:00:02Z",
        "data": _DATA if data is None else data,
        **attributes,
    }
    return event_of(msgspec.json.encode(event))


def usage(one: Any) -> Any:
    times = times_of(one)
    assert times is not None
    return usage_of(one, CALLER, BOOK, *times)


def test_a_report_becomes_one_closed_run() -> None:
    found = usage(report(subject="customer-7"))

    tokens, *tools = found.calls
    closing = found.closing
    assert isinstance(tokens, TokenEvent)
    assert (tokens.input_uncached, tokens.cache_read, tokens.cache_write) == (100, 50, 10)
    assert (tokens.output, tokens.reasoning, tokens.final) == (30, 5, True)
    assert [(tool.tool, tool.status, tool.duration_ms) for tool in tools] == [
        ("search", "ok", 20),
        ("other", "error", 0),
    ]
    assert (closing.tokens_in, closing.tokens_out, closing.tool_calls) == (160, 30, 2)
    assert (closing.status, closing.channel, closing.end_user) == ("completed", "intake", "customer-7")
    assert (closing.duration_ms, closing.occurred_at_ms - closing.started_at_ms) == (2_000, 2_000)
    state = fold(None, [(event, False) for event in (*found.calls, closing)])
    assert closing.credits_micro == cost(state, BOOK).micro > 0
    assert {(e.run_id, e.org_id, e.price_version) for e in (*found.calls, closing)} == {
        (closing.run_id, "org_1", "list-1")
    }


def test_said_again_it_is_the_same_to_the_byte_and_folds_away() -> None:
    first, again = usage(report()), usage(report())

    said = [encode(event) for event in (*first.calls, first.closing)]
    assert [encode(event) for event in (*again.calls, again.closing)] == said
    once = fold(None, [(event, False) for event in (*first.calls, first.closing)])
    assert fold(once, [(event, False) for event in (*again.calls, again.closing)]) == once


def test_the_id_is_of_the_org_the_source_and_the_id_and_nothing_else() -> None:
    assert usage(report()).closing.run_id == run_id_of("org_1", "jobs", "17")
    different = [("org_2", "jobs", "17"), ("org_1", "job", "s17"), ("org_1", "jobs", "18")]
    assert len({run_id_of(*names) for names in different} | {run_id_of("org_1", "jobs", "17")}) == 4


def test_late_usage_from_a_file_is_the_same_run() -> None:
    assert backfill._run_id("org_1", "jobs", "17") == run_id_of("org_1", "jobs", "17")


def test_a_count_of_tool_calls_is_enough() -> None:
    found = usage(report({**_DATA, "tool_calls": 3}))

    assert [tool.tool for tool in found.calls[1:]] == ["unnamed"] * 3
    assert len({tool.tool_call_id for tool in found.calls[1:]}) == 3


def test_when_it_began_may_be_said_or_follows_from_its_end() -> None:
    ended = times_of(report())
    said = times_of(report({**_DATA, "started_at": "2026-05-04T14:00:00+02:00"}, time=None))

    assert ended == said
    assert times_of(report(time=None)) is None


@pytest.mark.parametrize(
    "attributes",
    [
        {"id": ""},
        {"id": None},
        {"source": ""},
        {"specversion": "0.3"},
        {"type": "prompt"},
        {"time": "2026-05-04T12:00:02"},
        {"time": "yesterday"},
        {"data": {**_DATA, "output": -1}},
        {"data": {**_DATA, "output": 1.5}},
        {"data": {**_DATA, "reasoning": 31}},
        {"data": {**_DATA, "tool_calls": 257}},
        {"data": {**_DATA, "status": "started"}},
        {"data": {**_DATA, "tokens": 4}},
        {"data": {"output": 4}},
        {"data": 7},
        {"subject": "s" * 129},
    ],
)
def test_what_is_no_report_is_refused(attributes: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        report(**attributes)


def test_extensions_and_nulls_are_let_through() -> None:
    assert report(traceparent="00-ab", datacontenttype=None, subject=None, dataschema=None) == report()
