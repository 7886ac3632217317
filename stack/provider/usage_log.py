"""What was really generated, request by request, so that metering can be compared with it."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

REMEMBERED = 10_000


@dataclass(slots=True)
class Served:
    """One request; all counts in tokens.

    `completion_tokens` were generated, `sent_tokens` were handed to the connection; both grow while an answer
    is streamed. `finished`: the answer was sent to its end. What was sent may be some 3,000 tokens ahead of
    what the client read: the connection buffers that much.
    """

    request_id: str
    model: str
    prompt_tokens: int
    completion_tokens: int = 0
    sent_tokens: int = 0
    finished: bool = False


class UsageLog:
    """The last `REMEMBERED` requests, oldest first."""

    def __init__(self) -> None:
        self._served: deque[Served] = deque(maxlen=REMEMBERED)

    def begin(self, request_id: str, model: str, prompt_tokens: int) -> Served:
        """Add a request; the caller keeps its counts."""
        served = Served(request_id, model, prompt_tokens)
        self._served.append(served)
        return served

    def rows(self, request_id: str | None = None) -> list[dict[str, Any]]:
        """Return the requests, or those with one id (a client's retries share it)."""
        return [asdict(one) for one in self._served if request_id is None or one.request_id == request_id]
