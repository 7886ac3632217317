"""The alerts' rules, as Prometheus reads them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from kit.metrics import registry
from kit.metrics.declared import Metric

RULES = Path(__file__).parents[2] / "docker" / "prometheus" / "alerts.yaml"
_INCREASE = re.compile(r"\bincrease\((runmeter_\w+)")


def alerts() -> list[dict[str, Any]]:
    """Return every rule."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def increasing() -> list[Metric]:
    """Return the counters whose increase an alert asks for: their series are to be there before the event."""
    asked = {name for rule in alerts() for name in _INCREASE.findall(rule["expr"])}
    return [metric for metric in registry.ALL if asked & set(metric.exposed)]
