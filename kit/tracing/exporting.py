"""Spans leave in batches from a thread of their own; what the receiver does not take is dropped."""

from __future__ import annotations

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import Tracer

from kit.settings import TracingSettings


def tracer_of(service: str, settings: TracingSettings, *, edge: bool) -> Tracer:
    """Return a tracer whose spans are exported. It is flushed when the process ends."""
    provider = TracerProvider(
        resource=Resource.create({SERVICE_NAME: f"runmeter-{service}"}),
        sampler=_sampler(settings.sample_ratio, edge=edge),
        shutdown_on_exit=True,
    )
    exporter = OTLPSpanExporter(
        endpoint=f"{settings.address.rstrip('/')}/v1/traces",
        headers=settings.header_fields() or None,
        timeout=settings.timeout_ms / 1000,
    )
    provider.add_span_processor(
        BatchSpanProcessor(
            exporter,
            max_queue_size=settings.max_queued_spans,
            max_export_batch_size=min(512, settings.max_queued_spans),
            schedule_delay_millis=settings.export_interval_ms,
            export_timeout_millis=settings.timeout_ms,
        )
    )
    return provider.get_tracer("runmeter")


def _sampler(ratio: float, *, edge: bool) -> Sampler:
    if not edge:
        # Whoever asks has decided; a batch is only a span if a decision came with its records.
        return ParentBased(ALWAYS_ON)
    decided_here = TraceIdRatioBased(ratio)
    return ParentBased(decided_here, remote_parent_sampled=decided_here)
