"""One trace per run: HTTP → gateway → runner → model and tools → Kafka → Redis and ClickHouse.

Off unless an OTLP endpoint is set, and then a call here costs one look at a global. Spans carry names, ids,
counts and durations; never a text, an argument, a header or the message of an error: those may hold what a
customer said, or a credential.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from kit import logs
from kit.settings import TracingSettings, load

log = logging.getLogger(__name__)

__all__ = ["HEADER", "SpanKind", "configure", "linked", "on", "received", "sending", "span", "traceparent"]

HEADER = "traceparent"
#: Kafka's record headers, as aiokafka hands them out.
RecordHeaders = Iterable[tuple[str, bytes | None]]
Value = str | int | float | bool

#: What OpenTelemetry allows by default: a batch of more runs names so many of them.
_MAX_LINKS = 128
_NOTHING: AbstractContextManager[Span] = contextlib.nullcontext(trace.INVALID_SPAN)
_propagator = TraceContextTextMapPropagator()
_tracer: Tracer | None = None


def configure(service: str, *, edge: bool = False) -> bool:
    """Start exporting if an endpoint is set; return whether. Once per process, at its start.

    An `edge` is called by strangers: it goes on with the trace that they name, and decides by itself whether
    the trace is recorded. All others do as their caller did.
    """
    global _tracer  # noqa: PLW0603 - one per process, as the handlers of `logging` are
    settings = load(TracingSettings)
    if not settings.address:
        return False
    from kit.tracing.exporting import tracer_of  # noqa: PLC0415 - the SDK is not even loaded while it is off

    _tracer = tracer_of(service, settings, edge=edge)
    logs.also(_ids)
    log.info("traces are exported", extra={"sample_ratio": settings.sample_ratio})
    return True


def on() -> bool:
    """Return whether traces are exported."""
    return _tracer is not None


def span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: dict[str, Value] | None = None,
    parent: Context | None = None,
) -> AbstractContextManager[Span]:
    """Return a context manager that is a span of the current trace; an error in it is told by its kind."""
    if _tracer is None:
        return _NOTHING
    return _spanning(_tracer, name, kind, attributes, parent)


def sending(topic: str) -> AbstractContextManager[Span]:
    """Return the span of a record being published; nothing where no trace is recorded."""
    # What caused it may have ended: events are often published by tasks of their own.
    if _tracer is None or not trace.get_current_span().get_span_context().trace_flags.sampled:
        return _NOTHING
    named: dict[str, Value] = {"messaging.system": "kafka", "messaging.destination.name": topic}
    return _spanning(_tracer, f"publish {topic}", SpanKind.PRODUCER, named)


def linked(
    name: str, records: Iterable[RecordHeaders], attributes: dict[str, Value]
) -> AbstractContextManager[Span]:
    """Return one span for a batch of records, linked to those that published them.

    A batch of one trace alone is a part of it; one of several is a trace of its own. Records of no trace make
    no span.
    """
    if _tracer is None:
        return _NOTHING
    found = _contexts(records)
    if not found:
        return _NOTHING
    one = len({context.trace_id for context in found}) == 1
    parent = trace.set_span_in_context(trace.NonRecordingSpan(found[0]), Context()) if one else Context()
    links = [Link(context) for context in found]
    return _spanning(_tracer, name, SpanKind.CONSUMER, attributes, parent, links=links)


def received(header: str) -> Context:
    """Return the context that a `traceparent` names; an empty one if it names none."""
    return _propagator.extract({HEADER: header}, Context())


def traceparent() -> str:
    """Return what the next process is to be told; empty where no trace is recorded."""
    if _tracer is None:
        return ""
    current = trace.get_current_span()
    if not current.is_recording():
        return ""
    context = current.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


@contextlib.contextmanager
def _spanning(
    tracer: Tracer,
    name: str,
    kind: SpanKind,
    attributes: dict[str, Value] | None,
    parent: Context | None = None,
    *,
    links: Iterable[Link] = (),
) -> Iterator[Span]:
    with tracer.start_as_current_span(
        name,
        parent,
        kind,
        attributes,
        list(links),
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        try:
            yield current
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:
            current.set_status(StatusCode.ERROR, type(error).__name__)
            raise


def _contexts(records: Iterable[RecordHeaders]) -> list[SpanContext]:
    found: dict[bytes, SpanContext] = {}
    for headers in records:
        for name, value in headers:
            if name == HEADER and value and value not in found:
                context = trace.get_current_span(received(value.decode("latin-1"))).get_span_context()
                if context.is_valid:
                    found[value] = context
        if len(found) >= _MAX_LINKS:
            break
    return list(found.values())


def _ids() -> dict[str, str]:
    context = trace.get_current_span().get_span_context()
    return {"trace_id": f"{context.trace_id:032x}"} if context.is_valid else {}
