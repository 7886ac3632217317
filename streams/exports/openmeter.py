"""OpenMeter: CloudEvents to `POST /api/v1/events`, in batches.

It keeps each (source, id) once and adds up, so an event carries what its revision changes: over a run's
revisions a meter with the aggregation SUM arrives at the run's totals, a correction's negative part included.
<https://openmeter.io/docs/metering/events/overview>
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from kit.settings.exports import OpenMeterDestination
from schemas.billing import MEASURES, BillingRecord
from streams.exports.http import Poster
from streams.exports.port import Batch, Refusal

_LABELS = (
    *("tenant_id", "org_id", "instance_id", "run_id", "revision", "version"),
    *("model", "status", "channel", "key_id", "price_version"),
)


class OpenMeter:
    """One OpenMeter."""

    repeatable_ms = 0

    def __init__(self, settings: OpenMeterDestination) -> None:
        self._settings = settings
        self._poster = Poster(settings.timeout_ms)
        self._url = settings.url.rstrip("/") + "/api/v1/events"
        self._headers = {"Content-Type": "application/cloudevents-batch+json"}
        if settings.token is not None:
            self._headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"

    async def deliver(self, batch: Batch) -> list[Refusal]:
        events = [self._event(item.record) for item in batch.items]
        await self._poster.post(self._url, self._headers, msgspec.json.encode(events))
        return []

    def _event(self, record: BillingRecord) -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "id": record.record_id,
            "source": f"runmeter/{record.tenant_id}",
            "type": self._settings.event_type,
            "subject": getattr(record, self._settings.subject),
            "time": rfc3339(record.occurred_at_ms),
            "datacontenttype": "application/json",
            "data": {
                **{name: getattr(record, name) for name in _LABELS},
                **{name: getattr(record, f"{name}_change") for name in MEASURES},
            },
        }

    async def spans(self, partition: int) -> list[tuple[int, int]]:
        return []

    async def close(self) -> None:
        await self._poster.close()


def rfc3339(unix_ms: int) -> str:
    """Return Unix milliseconds as RFC 3339 in UTC."""
    moment = datetime.fromtimestamp(unix_ms // 1000, UTC).replace(microsecond=unix_ms % 1000 * 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
