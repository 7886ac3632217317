"""`python -m stack.metrics_page`: the text of `docs/metrics.md`, every metric as it is declared."""

from __future__ import annotations

from kit.metrics import registry
from kit.metrics.declared import Bound, Metric

_HEAD = """\
# Metrics

Written by `make metrics-page` from [the registry](../kit/metrics/registry.py), not by hand. Names are as
queries write them, but for the `_bucket`, `_sum` and `_count` of histograms.

| metric | kind | unit | labels | told by | meaning |
|---|---|---|---|---|---|
"""


def render() -> str:
    """Return the page."""
    return _HEAD + "".join(map(_row, registry.ALL))


def _row(metric: Metric) -> str:
    name = metric.exposed[0] if metric.kind != "histogram" else metric.name
    labels = "; ".join(_label(label, bound) for label, bound in metric.labels)
    roles = ", ".join(metric.roles)
    return f"| `{name}` | {metric.kind} | {metric.unit} | {labels} | {roles} | {metric.meaning} |\n"


def _label(name: str, bound: Bound) -> str:
    return f"`{name}`: {bound.by or ', '.join(bound.values)}"


if __name__ == "__main__":
    print(render(), end="")
