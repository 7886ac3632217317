"""The meters that every tenant has. All are over runs, so that they agree with usage, charts and invoices."""

from __future__ import annotations

from console_api.meters.models import Aggregation, Meter
from console_api.meters.sources import EventType

_DIMENSIONS = ("org_id", "instance_id", "model", "channel", "key_id", "status", "end_user", "error_code")


def _meter(
    slug: str,
    name: str,
    unit: str,
    path: str | None = None,
    *,
    aggregation: Aggregation = "sum",
    event_type: EventType = "run.started",
    percentile: float | None = None,
) -> Meter:
    return Meter(
        slug=slug,
        name=name,
        event_type=event_type,
        aggregation=aggregation,
        value_path=path,
        percentile=percentile,
        group_by={dimension: f"$.{dimension}" for dimension in _DIMENSIONS},
        unit=unit,
        built_in=True,
    )


_ALL = (
    _meter("runs", "Runs that ended", "runs", aggregation="count", event_type="run.ended"),
    _meter("tokens_in", "Tokens read by models", "tokens", "$.tokens_in"),
    _meter("tokens_out", "Tokens written by models", "tokens", "$.tokens_out"),
    _meter("tool_calls", "Tool calls", "calls", "$.tool_calls"),
    _meter("credits", "What runs were charged", "micro-credits", "$.charged_micro"),
    _meter("duration", "Time that runs took, added up", "ms", "$.duration_ms", event_type="run.ended"),
    _meter(
        "duration_p95",
        "Time within which 95 % of runs ended",
        "ms",
        "$.duration_ms",
        aggregation="percentile",
        event_type="run.ended",
        percentile=0.95,
    ),
    _meter("end_users", "Different end users", "users", "$.end_user", aggregation="unique"),
)

METERS = {meter.slug: meter for meter in _ALL}
