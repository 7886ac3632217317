"""Spans as they are made: whose part they are, what they are linked to, and what they never hold."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator

import msgspec
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kit import logs, tracing
from kit.publisher import SpooledRecord
from kit.settings import TracingSettings
from kit.tracing import exporting


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Spans of this process, recorded as an edge records them."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=exporting._sampler(1.0, edge=True), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


def header(trace: int, span: int) -> list[tuple[str, bytes | None]]:
    return [("other", None), ("traceparent", f"00-{trace:032x}-{span:016x}-01".encode())]


def test_a_batch_of_one_trace_is_a_part_of_it(spans: InMemorySpanExporter) -> None:
    with tracing.linked("apply", [header(7, 1), header(7, 2), header(7, 1), []], {"records": 4}):
        pass

    [span] = spans.get_finished_spans()
    assert span.context is not None
    assert span.context.trace_id == 7
    assert [link.context.span_id for link in span.links] == [1, 2]


def test_a_batch_of_several_traces_is_one_of_its_own_that_names_them(spans: InMemorySpanExporter) -> None:
    with tracing.linked("apply", [header(7, 1), header(8, 2)], {}):
        pass

    [span] = spans.get_finished_spans()
    assert span.parent is None
    assert span.context is not None
    assert span.context.trace_id not in (7, 8)
    assert {link.context.trace_id for link in span.links} == {7, 8}


def test_a_large_batch_has_a_bounded_number_of_links(spans: InMemorySpanExporter) -> None:
    with tracing.linked("apply", (header(trace, 1) for trace in range(1, 4_001)), {}):
        pass

    [span] = spans.get_finished_spans()
    assert len(span.links) == 128


@pytest.mark.parametrize("value", [b"", None, b"nonsense", b"\xff\xfe", b"00-" + b"0" * 32 + b"-1-01"])
def test_records_of_no_trace_make_no_span(spans: InMemorySpanExporter, value: bytes | None) -> None:
    with tracing.linked("apply", [[("traceparent", value)]], {}):
        pass

    assert spans.get_finished_spans() == ()


def test_an_error_is_told_by_its_kind_alone(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="sk-secret"), tracing.span("run"):
        raise ValueError("the key is sk-secret")
    with pytest.raises(asyncio.CancelledError), tracing.span("run"):
        raise asyncio.CancelledError("sk-secret")

    failed, left = spans.get_finished_spans()
    assert failed.status.description == "ValueError"
    assert left.status.is_unset
    assert "sk-secret" not in failed.to_json() + left.to_json()


def test_what_is_sent_on_names_the_span_that_sends(spans: InMemorySpanExporter) -> None:
    assert tracing.traceparent() == ""
    with tracing.sending("usage.runs"):
        assert tracing.traceparent() == ""
    with tracing.span("run"), tracing.sending("usage.runs"):
        told = tracing.traceparent()

    sent, run = spans.get_finished_spans()
    assert sent.context is not None
    assert told.startswith(f"00-{sent.context.trace_id:032x}-{sent.context.span_id:016x}-")
    assert int(told[-2:], 16) & 1
    assert sent.parent == run.context


async def test_what_a_task_sends_after_its_cause_has_ended_is_of_the_trace(
    spans: InMemorySpanExporter,
) -> None:
    async def send() -> str:
        with tracing.sending("usage.tokens"):
            return tracing.traceparent()

    with tracing.span("chat"):
        task = asyncio.create_task(send())
    told = await task

    chat, sent = spans.get_finished_spans()
    assert sent.parent == chat.context
    assert told.split("-")[2] == f"{sent.context.span_id:016x}"


def recorded(ratio: float, *, edge: bool, flag: str) -> bool:
    provider = TracerProvider(sampler=exporting._sampler(ratio, edge=edge), shutdown_on_exit=False)
    parent = tracing.received(f"00-{2**127:032x}-{1:016x}-{flag}")
    with provider.get_tracer("test").start_as_current_span("x", parent) as span:
        return span.is_recording()


def test_a_stranger_does_not_choose_what_is_recorded_and_a_caller_of_ours_does() -> None:
    assert not recorded(0, edge=True, flag="01")
    assert recorded(1, edge=True, flag="01")
    assert not recorded(1, edge=True, flag="00")
    assert recorded(0, edge=False, flag="01")
    assert not recorded(0, edge=False, flag="00")


def test_the_lines_of_a_task_about_a_run_carry_its_id_and_trace(spans: InMemorySpanExporter) -> None:
    formatter = logs.JsonFormatter("test")

    def line() -> dict[str, str]:
        record = logging.makeLogRecord({"msg": "x", "name": "n", "levelname": "INFO"})
        said: dict[str, str] = json.loads(formatter.format(record))
        return said

    async def about(run_id: str) -> tuple[dict[str, str], str]:
        logs.about_run(run_id)
        with tracing.span("run"):
            await asyncio.sleep(0)
            return line(), tracing.traceparent()

    async def both() -> list[tuple[dict[str, str], str]]:
        return await asyncio.gather(*[asyncio.create_task(about(run_id)) for run_id in ("run_a", "run_b")])

    before = list(logs._more)
    logs.also(tracing._ids)
    try:
        told = asyncio.run(both())
        assert "trace_id" not in line()
        assert "run_id" not in line()
    finally:
        logs._more[:] = before
    assert [said["run_id"] for said, _ in told] == ["run_a", "run_b"]
    assert all(said["trace_id"] == parent.split("-")[1] for said, parent in told)


def test_a_spooled_record_keeps_its_trace_and_one_of_before_has_none() -> None:
    record = SpooledRecord("usage.runs", 3, b"org", b"{}", "00-…-01")
    decoder = msgspec.msgpack.Decoder(SpooledRecord)

    assert decoder.decode(msgspec.msgpack.encode(record)) == record
    assert decoder.decode(msgspec.msgpack.encode(["usage.runs", 3, b"org", b"{}"])).traceparent == ""


def test_the_standard_variable_counts_where_ours_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TracingSettings().address == ""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    assert TracingSettings().address == "http://collector:4318"
    monkeypatch.setenv("RUNMETER_OTLP_ENDPOINT", "http://ours:4318")
    monkeypatch.setenv("RUNMETER_OTLP_HEADERS", "Authorization=Bearer a=b, x=1")
    assert TracingSettings().address == "http://ours:4318"
    assert TracingSettings().header_fields() == {"authorization": "Bearer a=b", "x": "1"}
    assert "Bearer" not in repr(TracingSettings())
