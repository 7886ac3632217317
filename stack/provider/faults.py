"""Faults on demand: header `X-Fault`, or `[[fault:NAME]]` in the last user message.

`429`, `500`, `503`, `stall:SECONDS`, `cut:CHUNKS`, `no-usage`, `bad-json`, `length:TOKENS`,
`first-n:TIMES:STATUS`. Several combine: markers one after another, header values separated by commas.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

from stack.provider.errors import ApiError

MAX_STALL_S = 120.0
MAX_LENGTH = 20_000

_MARKER = re.compile(r"\[\[fault:([^\[\]]{1,80})\]\]")
_STATUSES = frozenset({"429", "500", "503"})
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one request; the default is nothing.

    `stall_s`: seconds before the first byte. `cut_after`: chunks sent before the connection drops; -1: never.
    `length`: tokens the answer has; 0: as it comes.
    """

    status: int = 0
    stall_s: float = 0.0
    cut_after: int = -1
    no_usage: bool = False
    bad_json: bool = False
    length: int = 0


NONE = Fault()


class Faults:
    """Reads faults from requests; counts identical requests for `first-n`."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, int] = OrderedDict()

    def of(self, header: str, question: str, identity: bytes) -> Fault:
        """Return the request's fault. `identity` is equal for identical requests.

        Raises `ApiError` 400 for a fault there is not: a typing error must not pass as a good answer.
        """
        names = header.split(",") if header else _MARKER.findall(question)
        fault = NONE
        for name in names:
            try:
                fault = self._with(fault, name.strip(), identity)
            except ValueError:
                raise ApiError(400, "unknown_fault", f"There is no fault {name!r}.", "X-Fault") from None
        return fault

    def _with(self, fault: Fault, name: str, identity: bytes) -> Fault:
        change: dict[str, Any]
        match name.split(":"):
            case [status] if status in _STATUSES:
                change = {"status": int(status)}
            case ["stall", seconds]:
                change = {"stall_s": min(_positive(float(seconds)), MAX_STALL_S)}
            case ["cut", chunks]:
                change = {"cut_after": int(_positive(int(chunks)))}
            case ["no-usage"]:
                change = {"no_usage": True}
            case ["bad-json"]:
                change = {"bad_json": True}
            case ["length", length]:
                change = {"length": min(max(1, int(length)), MAX_LENGTH)}
            case ["first-n", times, status] if status in _STATUSES:
                change = {"status": int(status)} if self._count(identity) <= int(times) else {}
            case _:
                raise ValueError(name)
        return replace(fault, **change)

    def _count(self, identity: bytes) -> int:
        times = self._seen[identity] = self._seen.pop(identity, 0) + 1
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return times


def without_markers(text: str) -> str:
    """Return the text as the model should read it."""
    return _MARKER.sub("", text) if "[[" in text else text


def _positive(value: float) -> float:
    if not value >= 0:  # not `<`: NaN compares false with everything
        raise ValueError(value)
    return value
