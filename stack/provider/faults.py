"""Faults on demand: header `X-Fault`, or `[[fault:NAME]]` in the last user message.

`429`, `500`, `503`, `stall:SECONDS`, `cut:CHUNKS`, `no-usage`, `bad-json`, `length:TOKENS`, `first-n:N:STATUS`.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

_MARKER = re.compile(r"\[\[fault:([a-z0-9:.-]+)\]\]")
MAX_STALL_S = 120.0
MAX_LENGTH = 20_000


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request; the default is nothing."""

    status: int = 0
    stall_s: float = 0.0
    cut_after: int = -1
    no_usage: bool = False
    bad_json: bool = False
    length: int = 0


class Faults:
    """Reads faults from requests; counts identical requests for `first-n`."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def of(self, header: str, question: str) -> Fault:
        """Return the request's fault. An unknown name is none."""
        found = _MARKER.search(question)
        name, *values = (header or (found.group(1) if found else "")).split(":")
        match name, values:
            case (("429" | "500" | "503"), []):
                return Fault(status=int(name))
            case "stall", [seconds]:
                return Fault(stall_s=min(float(seconds), MAX_STALL_S))
            case "cut", [chunks]:
                return Fault(cut_after=int(chunks))
            case "no-usage", []:
                return Fault(no_usage=True)
            case "bad-json", []:
                return Fault(bad_json=True)
            case "length", [length]:
                return Fault(length=min(int(length), MAX_LENGTH))
            case "first-n", [times, status]:
                self._seen[question] += 1
                return Fault(status=int(status)) if self._seen[question] <= int(times) else Fault()
            case _:
                return Fault()


def without_marker(text: str) -> str:
    """Return the text as the model should read it."""
    return _MARKER.sub("", text)
