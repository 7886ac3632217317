"""The end of an instance by its owners' word. It is final; what it leaves behind is `forgetting`'s."""

from __future__ import annotations

from console_api.auth import roles
from console_api.auth.models import Principal
from console_api.control.directory import service as directory
from console_api.control.plane import ControlPlane
from console_api.instances.models import Ended
from console_api.instances.owned import own_instance
from console_api.payments.providers import Providers
from console_api.subscriptions import repository as subscription_rows
from console_api.subscriptions import service as subscriptions
from console_api.subscriptions import stopping


async def end(plane: ControlPlane, providers: Providers, principal: Principal, instance_id: str) -> Ended:
    """End an instance, and its subscription with it. Doing it again changes nothing.

    The end is committed before the provider hears of it; one that cannot be told is asked again (`stopping`).
    Raises `Forbidden`, `NotFound`.
    """
    roles.require(principal, "admin", "To end an instance")
    async with plane.database.writing() as session:
        await own_instance(session, principal, instance_id)
        now = plane.clock()
        row = await subscription_rows.of_instance(session, instance_id, lock=True)
        if row is not None:
            subscriptions.end(session, row, now)
        await directory.set_status(session, instance_id, "ended", actor=principal.subject, at_ms=now)
    subscription_id = row.subscription_id if row is not None else None
    told = subscription_id is None or await stopping.stop(plane, providers, subscription_id)
    return Ended(instance_id=instance_id, subscription_id=subscription_id, provider_told=told)
