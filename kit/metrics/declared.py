"""The shape of a declaration. Names are a contract: dashboards, alerts and autoscalers use them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True)
class Bound:
    """What keeps a label from growing: its values, or in words where they are another registry's."""

    values: tuple[str, ...] = ()
    by: str = ""

    def __post_init__(self) -> None:
        if bool(self.values) == bool(self.by):
            raise ValueError("a label is bounded by its values, or by what is named; never by nothing")


@dataclass(frozen=True)
class Metric:
    """One metric. A counter's `name` is without the `_total` that it is exposed with."""

    name: str
    kind: Kind
    #: What is counted or measured; `1` for states, which are 0 or 1.
    unit: str
    #: The processes that expose it.
    roles: tuple[str, ...]
    meaning: str
    #: Label → what bounds it, in order.
    labels: tuple[tuple[str, Bound], ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.labels)

    @property
    def exposed(self) -> tuple[str, ...]:
        """The names of its samples, as queries write them."""
        match self.kind:
            case "counter":
                return (f"{self.name}_total",)
            case "gauge":
                return (self.name,)
            case "histogram":
                return tuple(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))


def count(name: str, unit: str, roles: str, meaning: str, **labels: Bound) -> Metric:
    """Declare a counter; `roles` are separated by spaces."""
    return Metric(name, "counter", unit, tuple(roles.split()), meaning, tuple(labels.items()))


def level(name: str, unit: str, roles: str, meaning: str, **labels: Bound) -> Metric:
    """Declare a gauge."""
    return Metric(name, "gauge", unit, tuple(roles.split()), meaning, tuple(labels.items()))


def spread(
    name: str, unit: str, roles: str, meaning: str, buckets: tuple[float, ...], **labels: Bound
) -> Metric:
    """Declare a histogram."""
    return Metric(name, "histogram", unit, tuple(roles.split()), meaning, tuple(labels.items()), buckets)


def among(*values: str) -> Bound:
    """A label that takes these values."""
    return Bound(values)


def bounded(by: str) -> Bound:
    """A label whose values are another registry's."""
    return Bound(by=by)
