"""Looks after all subscriptions now and then: time alone ends periods and graces, and drips credits.

It also has providers stop collecting for those that ended here.
"""

from __future__ import annotations

import asyncio
import logging

from console_api.control.outbox.relay import OUTAGES
from console_api.control.plane import ControlPlane
from console_api.payments.providers import Providers
from console_api.subscriptions import repository, service, stopping

log = logging.getLogger(__name__)

_PAGE = 200
#: Providers are asked one after the other, and may be slow.
_STOPS = 20


class SubscriptionKeeper:
    """Settles every subscription that has not ended, one transaction each."""

    def __init__(self, plane: ControlPlane, providers: Providers, every_s: float) -> None:
        self._plane = plane
        self._providers = providers
        self._every_s = every_s

    async def run(self) -> None:
        """Look, and wait, for ever."""
        while True:
            try:
                await self.turn()
            except OUTAGES as error:
                log.warning("subscriptions wait", extra={"error": repr(error)})
            await asyncio.sleep(self._every_s)

    async def turn(self) -> None:
        """Settle all of them, and stop what is to be stopped. Raises one of `OUTAGES`."""
        after = ""
        while True:
            async with self._plane.database.reading() as session:
                found = await repository.living(session, after, _PAGE)
            for subscription_id in found:
                await self._settle(subscription_id)
            if len(found) < _PAGE:
                break
            after = found[-1]
        async with self._plane.database.reading() as session:
            ended = await repository.to_stop(session, self._plane.clock(), _STOPS)
        for subscription_id in ended:
            await stopping.stop(self._plane, self._providers, subscription_id)

    async def _settle(self, subscription_id: str) -> None:
        try:
            async with self._plane.database.writing() as session:
                row = await repository.one(session, subscription_id, lock=True)
                if row is not None:
                    await service.settle(session, row, self._plane.clock())
        except OUTAGES:
            raise
        except Exception:
            # One that cannot be settled must not hold up the others.
            log.exception("a subscription was not settled", extra={"subscription_id": subscription_id})
