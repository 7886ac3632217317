"""An HTTP hook, signed as <https://www.standardwebhooks.com> has it.

`webhook-id` names the message: the record, or, of several, their place in the log. A message may come again,
after a replay cut otherwise, so a receiver counts by the `record_id` of each record.
"""

from __future__ import annotations

import msgspec

from kit.clock import Clock
from kit.connectors.webhook import signed
from kit.settings.exports import HttpDestination
from schemas.topics import BILLING
from streams.exports.http import Poster
from streams.exports.openmeter import rfc3339
from streams.exports.port import Batch, Refusal

#: What the messages' `type` says.
EVENT_TYPE = "billing.records"


class Hook:
    """One address."""

    repeatable_ms = 0

    def __init__(self, settings: HttpDestination, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._poster = Poster(settings.timeout_ms)

    async def deliver(self, batch: Batch) -> list[Refusal]:
        now_ms = self._clock()
        latest_ms = max(item.record.recorded_at_ms for item in batch.items)
        # The time is the records', not ours: a repeat has the same body.
        body = msgspec.json.encode(
            {
                "type": EVENT_TYPE,
                "timestamp": rfc3339(latest_ms),
                "data": {"records": [item.record for item in batch.items]},
            }
        )
        headers = signed(_message_id(batch), now_ms // 1000, body, self._settings.key)
        await self._poster.post(self._settings.url, {"Content-Type": "application/json", **headers}, body)
        return []

    async def spans(self, partition: int) -> list[tuple[int, int]]:
        return []

    async def close(self) -> None:
        await self._poster.close()


def _message_id(batch: Batch) -> str:
    if len(batch.items) == 1:
        return batch.items[0].record.record_id
    return f"{BILLING.name}-{batch.partition}-{batch.items[0].offset}-{batch.items[-1].offset}"
