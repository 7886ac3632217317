"""What was decided here and is not done, told to Prometheus: orders that hang, changes not sent on."""

from __future__ import annotations

from typing import get_args

from console_api.control.outbox import repository as outbox
from console_api.control.outbox.models import Lane
from console_api.control.plane import ControlPlane
from console_api.metrics import Metrics
from console_api.orders import repository as orders
from console_api.payments.webhooks import repository as webhooks

#: Provisioning takes seconds; a paid order that is older waits for somebody.
PROVISIONED_WITHIN_MS = 600_000
#: For how long a delivery that failed is told of: it can be replayed, and need not be.
FAILED_FOR_MS = 7 * 86_400_000


async def tell(plane: ControlPlane, metrics: Metrics) -> None:
    """Set the gauges, each as it is now. Raises SQLAlchemy's errors; then they stay as they were."""
    now_ms = plane.clock()
    async with plane.database.reading() as session:
        for lane in get_args(Lane):
            rows, oldest_ms = await outbox.lag(session, lane)
            metrics.outbox_rows.labels(lane).set(rows)
            metrics.outbox_age.labels(lane).set(max(now_ms - oldest_ms, 0) / 1_000 if rows else 0)
        metrics.outbox_parked.set(await outbox.parked(session))
        failed, waiting = await orders.stuck(session, now_ms - PROVISIONED_WITHIN_MS)
        metrics.orders_stuck.labels("failed").set(failed)
        metrics.orders_stuck.labels("unprovisioned").set(waiting)
        metrics.webhooks_failed.set(await webhooks.failed_since(session, now_ms - FAILED_FOR_MS))
