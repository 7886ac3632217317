"""Looks now and then at what nobody tells: whether spending is unusual, and when credits end.

From the live counters, so it knows what was charged a moment ago and asks no history. One process looks at a
time; two that do would find the same and tell it once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from redis.exceptions import RedisError

from console_api import spending
from console_api.alerts import repository
from console_api.alerts.telling import Fact, rule_of, tell
from console_api.control.outbox.lease import LeaderLease
from console_api.control.outbox.relay import OUTAGES
from console_api.control.plane import ControlPlane
from console_api.database.tables import Org
from console_api.instances import repository as instances
from console_api.stores import Stores
from console_api.wallet import forecast
from kit.settings import AlertSettings
from metering import anomaly
from metering.windows import DAY_MS, start_of
from schemas.directory import InstanceRecord

log = logging.getLogger(__name__)

_PAGE = 200


class Watch:
    """Evaluates every active org's rules."""

    def __init__(self, plane: ControlPlane, stores: Stores, settings: AlertSettings) -> None:
        self._plane = plane
        self._stores = stores
        self._every_s = settings.evaluate_every_s
        self._lease = LeaderLease(
            plane.database, "alerts/watch", settings.evaluate_every_s * 1_000, plane.clock
        )

    async def run(self) -> None:
        """Look, and wait, for ever."""
        try:
            while True:
                try:
                    async with self._lease.leading() as leads:
                        if leads:
                            await self.turn()
                except OUTAGES as error:
                    log.warning("spending is not watched", extra={"error": repr(error)})
                await asyncio.sleep(self._every_s)
        finally:
            with contextlib.suppress(*OUTAGES):
                await self._lease.free()

    async def turn(self) -> int:
        """Look at every org; return how much was told. Raises one of `OUTAGES`."""
        told, after = 0, ""
        while True:
            async with self._plane.database.reading() as session:
                orgs = await repository.orgs(session, after, _PAGE)
            for org in orgs:
                told += await self._look(org)
            if len(orgs) < _PAGE:
                return told
            after = orgs[-1].org_id

    async def _look(self, org: Org) -> int:
        try:
            facts = [*await self._unusual(org), *await self._ending(org)]
        except RedisError:
            raise
        except Exception:
            # An org that cannot be looked at must not hide the others.
            log.exception("an org was not looked at", extra={"org_id": org.org_id})
            return 0
        if not facts:
            return 0
        async with self._plane.database.writing() as session:
            new = [fact for fact in facts if await tell(session, fact, self._plane.clock())]
        for fact in new:
            self._stores.metrics.alerts.labels(fact.kind).inc()
        return len(new)

    async def _unusual(self, org: Org) -> list[Fact]:
        """Return the instances whose spending of this hour, or of the one before, stands out."""
        async with self._plane.database.reading() as session:
            rule = await rule_of(session, org.org_id, "anomaly")
        if not rule.enabled:
            return []
        hour = start_of("hour", self._stores.clock())
        # Also the hour before: what was charged in its last minutes was not there at the last look.
        hours = [hour, hour - anomaly.HOUR_MS]
        records = await self._instances(org)
        spent = await spending.of_instances(
            self._stores, org.org_id, [one.instance_id for one in records], "hour", hours
        )
        least = max(1, rule.terms.minimum_micro)
        found = [
            await self._beside_usual(org, record, at, micro, least)
            for record, each in zip(records, spent, strict=True)
            for at, micro in zip(hours, each, strict=True)
            if micro >= least
        ]
        return [fact for fact in found if fact is not None]

    async def _beside_usual(
        self, org: Org, record: InstanceRecord, hour_ms: int, spent_micro: int, least_micro: int
    ) -> Fact | None:
        weekly, recent = anomaly.alike(hour_ms)
        ids = [record.instance_id]
        [known] = await spending.of_instances(self._stores, org.org_id, ids, "hour", [*weekly, *recent])
        samples = (known[: len(weekly)], known[len(weekly) :])
        usual = anomaly.unusual(spent_micro, samples, least_micro)
        if usual is None:
            return None
        return Fact(
            org.tenant_id,
            org.org_id,
            "anomaly",
            subject=record.instance_id,
            threshold="unusual",
            # Once a day: a leak that goes on all day is one story.
            period=str(start_of("day", hour_ms)),
            occurred_at_ms=self._stores.clock(),
            details={
                "instance_id": record.instance_id,
                "instance": record.name or record.instance_id,
                "hour_ms": hour_ms,
                "spent_micro": spent_micro,
                "usual_micro": usual.median_micro,
                "bound_micro": usual.bound_micro,
            },
        )

    async def _ending(self, org: Org) -> list[Fact]:
        """Return the forecast, if the credits end as soon as the rule says."""
        async with self._plane.database.reading() as session:
            rule = await rule_of(session, org.org_id, "forecast")
        if not rule.enabled:
            return []
        found, wallet = await forecast.with_wallet(self._stores, org.tenant_id, org.org_id)
        if found.available_micro <= 0 or not found.ends_at_ms:
            return []
        if found.ends_at_ms - found.read_at_ms > rule.terms.days * DAY_MS:
            return []
        return [
            Fact(
                org.tenant_id,
                org.org_id,
                "forecast",
                subject="wallet",
                threshold=str(rule.terms.days),
                # As thresholds of the wallet: anew when credits are added.
                period=str(wallet.period_start_ms),
                occurred_at_ms=found.read_at_ms,
                details={
                    "available_micro": found.available_micro,
                    "per_day_micro": found.per_day_micro,
                    "ends_at_ms": found.ends_at_ms,
                },
            )
        ]

    async def _instances(self, org: Org) -> list[InstanceRecord]:
        records = await instances.records_of_org(self._stores, org.org_id)
        return sorted(
            (one for one in records if one.tenant_id == org.tenant_id), key=lambda one: one.instance_id
        )
