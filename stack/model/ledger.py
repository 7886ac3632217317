"""What was really generated, so that metering can be compared with it. All counts are tokens."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Any

from msgspec import Struct

REMEMBERED = 10_000


class Served(Struct):
    """One request that reached a model.

    `completion_tokens` were generated, `sent_tokens` were handed to the connection before the end, a cut or a
    client that left. `finished`: the answer was sent to its end.
    """

    request_id: str
    model: str
    prompt_tokens: int
    completion_tokens: int = 0
    sent_tokens: int = 0
    finished: bool = False


class Totals(Struct):
    """A model's requests that have ended, added up since the start."""

    requests: int = 0
    finished: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    sent_tokens: int = 0


class UsageLedger:
    """Totals per model, and the last `REMEMBERED` requests, oldest first, those under way included."""

    def __init__(self) -> None:
        self._requests: deque[Served] = deque(maxlen=REMEMBERED)
        self._totals: dict[str, Totals] = {}

    def open(self, request_id: str, model: str, prompt_tokens: int) -> Served:
        """Add a request; the caller keeps its counts, and closes it."""
        served = Served(request_id, model, prompt_tokens)
        self._requests.append(served)
        return served

    def close(self, served: Served) -> None:
        """Add a request that ended, however it did, to its model's totals."""
        totals = self._totals.setdefault(served.model, Totals())
        totals.requests += 1
        totals.finished += served.finished
        totals.prompt_tokens += served.prompt_tokens
        totals.completion_tokens += served.completion_tokens
        totals.sent_tokens += served.sent_tokens

    def report(self, request_id: str | None, limit: int) -> dict[str, Any]:
        """Return the totals and the latest requests, or those with one id (a client's retries share it)."""
        newest = (r for r in reversed(self._requests) if request_id is None or r.request_id == request_id)
        return {"models": self._totals, "requests": list(islice(newest, limit))[::-1]}
