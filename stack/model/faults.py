"""Faults on demand: the header `X-Fault`, or markers `[[fault:NAME]]` in the last user message.

`429` `500` `503`        refused with that status, 429 with Retry-After
`first-n:TIMES:STATUS`   so refused the first times an identical request comes
`stall:SECONDS`          nothing is sent for so long, then the answer
`timeout`                nothing is ever sent; the connection drops after `MAX_STALL_S`
`cut:CHUNKS`             the connection drops after so many chunks; of a whole answer, half-way
`bad-json`               the answer breaks off inside its JSON
`no-usage`               usage is left out, even where it was asked for
`slow:FACTOR`            the model takes so many times as long; without delays, as long as with time scale 1
`length:TOKENS`          the answer is exactly so long

Several combine: markers one after another, header values with commas between them.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from dataclasses import dataclass, replace

from stack.model.errors import ApiError

MAX_STALL_S = 120.0
MAX_SLOW = 100.0
MAX_LENGTH = 20_000

_MARKER = re.compile(r"\[\[fault:([^\[\]]{1,80})\]\]")
_STATUSES = frozenset({"429", "500", "503"})
_REMEMBERED = 10_000
_DETAILS = {
    429: "Rate limit reached for requests. Please try again later.",
    500: "The server had an error while processing your request. Sorry about that!",
    503: "That model is currently overloaded with other requests.",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one request; the default is nothing."""

    status: int | None = None
    stall_s: float = 0.0
    silent: bool = False
    cut_after: int | None = None
    bad_json: bool = False
    no_usage: bool = False
    slow: float | None = None
    length: int | None = None

    def refuse(self, retry_ms: int) -> None:
        """Raise the `ApiError` the fault asks for, if it does."""
        if self.status is not None:
            code = "rate_limit_exceeded" if self.status == 429 else None
            wait = retry_ms if self.status == 429 else None
            raise ApiError(self.status, _DETAILS[self.status], code=code, retry_ms=wait)


NONE = Fault()


class Faults:
    """Reads faults from requests, and counts identical requests for `first-n`."""

    def __init__(self) -> None:
        self._times: OrderedDict[bytes, int] = OrderedDict()

    def of(self, header: str, text: str, identity: bytes) -> Fault:
        """Return a request's fault; `identity` is equal for identical requests.

        Raises `ApiError` 400 for an unknown one: a typing error must not pass as a good answer.
        """
        names = header.split(",") if header else _MARKER.findall(text) if "[[" in text else ()
        fault = NONE
        for name in names:
            try:
                fault = self._with(fault, name.strip().split(":"), identity)
            except (ValueError, OverflowError):
                raise ApiError(400, f"There is no fault {name[:80]!r}.", code="unknown_fault") from None
        return fault

    def _with(self, fault: Fault, name: list[str], identity: bytes) -> Fault:
        match name:
            case [status] if status in _STATUSES:
                return replace(fault, status=int(status))
            case ["first-n", times, status] if status in _STATUSES:
                fails = self._count(identity) <= int(times)
                return replace(fault, status=int(status)) if fails else fault
            case ["stall", seconds]:
                return replace(fault, stall_s=min(_amount(seconds), MAX_STALL_S))
            case ["timeout"]:
                return replace(fault, stall_s=MAX_STALL_S, silent=True)
            case ["cut", chunks]:
                return replace(fault, cut_after=int(_amount(chunks)))
            case ["bad-json"]:
                return replace(fault, bad_json=True)
            case ["no-usage"]:
                return replace(fault, no_usage=True)
            case ["slow", factor]:
                return replace(fault, slow=min(_amount(factor), MAX_SLOW))
            case ["length", length]:
                return replace(fault, length=max(1, min(int(length), MAX_LENGTH)))
            case _:
                raise ValueError(name)

    def _count(self, identity: bytes) -> int:
        times = self._times.pop(identity, 0) + 1
        self._times[identity] = times
        if len(self._times) > _REMEMBERED:
            self._times.popitem(last=False)
        return times


def without_markers(text: str) -> str:
    """Return a text as the model reads it."""
    return _MARKER.sub("", text) if "[[" in text else text


def _amount(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:  # not a number fails too
        raise ValueError(text)
    return value
