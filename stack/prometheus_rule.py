"""`python -m stack.prometheus_rule`: the alerts as Prometheus' operator reads them in Kubernetes."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

ALERTS = Path("docker/prometheus/alerts.yaml")

_HEAD = f"""\
# Written by `make prometheus-rule` from {ALERTS}; do not edit it by hand.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: runmeter
  labels:
    app.kubernetes.io/part-of: runmeter
spec:
"""


def render(alerts: str) -> str:
    """Return the resource's text around that of the rules."""
    return _HEAD + indent(alerts, "  ")


if __name__ == "__main__":
    print(render(ALERTS.read_text()), end="")
