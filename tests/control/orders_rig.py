"""A marketplace that sells: plans, a pack, and what is needed to order, pay and provision without HTTP."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from control_places import Place
from control_world import World
from sqlalchemy import event, func, select

from console_api.auth.models import Principal
from console_api.catalogue import service as catalogue
from console_api.catalogue.models import (
    AllowanceTerms,
    EntitlementTerms,
    PlanTerms,
    PriceTerms,
    ProductTerms,
)
from console_api.control.plane import ControlPlane
from console_api.control.vault.seal import load_seal
from console_api.database.tables import ApiKey, Grant, GrantCommand, Instance, Order, Payment, Subscription
from console_api.orders import facts, service
from console_api.orders.models import NewOrder, PlacedOrder
from console_api.orders.provisioning import Provisioner, Reached
from console_api.pace import Pace
from console_api.payments.port import Fact, OrderPaid, Outcome
from console_api.payments.providers import Providers
from console_api.subscriptions.keeper import SubscriptionKeeper
from kit.settings import ControlSettings, PaymentsSettings, SecretsSettings
from schemas.directory import Role

ONCE, MONTHLY, PACK = 1_000_000, 6_000_000, 20_000_000
PRICE, PACK_PRICE = 4_900, 1_000
DAY_MS = 86_400_000


class Crash(Exception):
    """The process dies just before a transaction is committed."""


@dataclass
class Shop:
    """What a test of orders works with."""

    world: World
    plane: ControlPlane
    providers: Providers
    #: Whether grants reach wallets at once, or not at all.
    delivers: bool = True
    #: Whether gateways have heard of instances.
    hears: bool = True

    @classmethod
    async def open(cls, place: Place, world: World) -> Shop:
        seal = load_seal(SecretsSettings(), place.data_dir)
        plane = ControlPlane(
            world.database, seal, ControlSettings(), world.clock, Pace(9, world.clock), Pace(9, world.clock)
        )
        plane.ready.set()
        shop = cls(world, plane, Providers(dummy=True, stripe=None))
        await shop._stock()
        return shop

    async def _stock(self) -> None:
        entitlements = EntitlementTerms(models=["gpt-4o-mini"], tools=["calculator"])
        monthly = AllowanceTerms(amount_micro=MONTHLY, every="month")
        prices = [
            PriceTerms(currency="usd", amount_minor=PRICE, every="month", provider_ref="price_starter"),
            PriceTerms(currency="usd", amount_minor=PRICE * 10, every="year"),
            PriceTerms(currency="usd", amount_minor=PRICE * 100, every="once"),
        ]
        packs = [PriceTerms(currency="usd", amount_minor=PACK_PRICE, every="once")]
        plans = {
            "pro": PlanTerms(
                product="agent",
                name="Pro",
                entitlements=entitlements,
                allowance=monthly,
                credits_once_micro=ONCE,
                prices=prices,
            ),
            "pack": PlanTerms(
                product="credits",
                name="20 credits",
                entitlements=entitlements,
                credits_once_micro=PACK,
                prices=packs,
            ),
        }
        at_ms, tenant_id = self.world.clock(), self.world.tenant_id
        async with self.world.database.writing() as session:
            terms = ProductTerms(name="Credits", kind="credits")
            await catalogue.ensure_product(session, tenant_id, "credits", terms, actor="test", at_ms=at_ms)
            for code, plan in plans.items():
                await catalogue.ensure_plan(session, tenant_id, code, plan, actor="test", at_ms=at_ms)

    def caller(self, role: Role = "owner", org_id: str | None = None) -> Principal:
        org = self.world.org_id if org_id is None else org_id
        return Principal("ada@example.com", self.world.tenant_id, org, role)

    async def order(
        self, plan: str = "pro", every: Any = "month", provider: str = "dummy", key: str = "first-order"
    ) -> PlacedOrder:
        wanted = NewOrder(plan=plan, currency="usd", every=every, provider=provider)
        return await service.place(
            self.plane,
            self.providers,
            PaymentsSettings(dummy=True),
            self.caller(),
            wanted=wanted,
            idempotency_key=key,
        )

    async def tell(self, fact: Fact) -> Outcome:
        async with self.world.database.writing() as session:
            return await facts.apply(session, fact, now_ms=self.world.clock())

    async def tell_all(self, told: Iterable[Fact]) -> list[Fact]:
        """Tell facts in that order, early ones again after later ones; return those that stay early."""
        waiting: list[Fact] = []
        for fact in told:
            waiting = [f for f in [*waiting, fact] if await self.tell(f) == "early"]
            await self.provision()
        while (again := [f for f in waiting if await self.tell(f) == "early"]) != waiting:
            waiting = again
            await self.provision()
        return waiting

    def paid(self, order: PlacedOrder, **fields: Any) -> OrderPaid:
        usual: dict[str, Any] = {
            "provider": "stripe",
            "order_id": order.order_id,
            "payment_ref": f"pi_{order.order_id}",
            "currency": order.currency,
            "amount_minor": order.amount_minor,
            "at_ms": self.world.clock(),
            "customer_ref": "cus_1",
            "subscription_ref": "sub_1" if order.every != "once" else "",
        }
        return OrderPaid(**{**usual, **fields})

    @property
    def reached(self) -> Reached:
        async def wallet(org_id: str, grant_ids: Sequence[str]) -> bool:
            assert set(grant_ids) <= {grant.grant_id for grant in await self.rows(Grant)}
            return self.delivers

        async def gateways(instance_id: str) -> bool:
            return self.hears

        return Reached(wallet, gateways)

    async def provision(self) -> None:
        """Work off what is due."""
        while await Provisioner(self.plane, self.reached).turn():
            pass

    async def settle(self, after_ms: int = 0) -> None:
        """Let time pass, and subscriptions be looked at."""
        self.world.clock.at_ms += after_ms
        await SubscriptionKeeper(self.plane, self.providers, 60).turn()

    @contextmanager
    def dying(self, at_commit: int) -> Iterator[list[int]]:
        """Die just before that commit, counted from now; yield the commits that were died before."""
        engine, commits = self.world.database.engine.sync_engine, itertools.count(1)
        died: list[int] = []

        def commit(_: object) -> None:
            if (number := next(commits)) == at_commit:
                died.append(number)
                raise Crash

        event.listen(engine, "commit", commit)
        try:
            yield died
        finally:
            event.remove(engine, "commit", commit)

    async def rows(self, table: Any, **fields: Any) -> Sequence[Any]:
        async with self.world.database.reading() as session:
            return (await session.scalars(select(table).filter_by(**fields))).all()

    async def one(self, table: Any, **fields: Any) -> Any:
        (row,) = await self.rows(table, **fields)
        return row

    async def credits(self) -> int:
        """Return all credits that were given, less what was taken back."""
        async with self.world.database.reading() as session:
            given = await session.scalar(select(func.sum(Grant.amount_micro)))
            taken = await session.scalar(
                select(func.sum(GrantCommand.amount_micro)).where(GrantCommand.action == "refund")
            )
        return int(given or 0) - int(taken or 0)

    async def bought(self) -> dict[str, Any]:
        summary = await self.summary()
        summary.pop("subscriptions")
        return summary

    def at(self, **fields: Any) -> dict[str, Any]:
        """The fields that every fact about the shop's subscription carries."""
        return {"provider": "stripe", "subscription_ref": "sub_1", "at_ms": self.world.clock(), **fields}

    async def summary(self) -> dict[str, Any]:
        """Return what there is, without ids: the same for all ways that come to the same."""
        instances = [i for i in await self.rows(Instance) if i.order_id]
        keys = [k for k in await self.rows(ApiKey) if k.instance_id in {i.instance_id for i in instances}]
        return {
            "orders": sorted((o.status, o.step) for o in await self.rows(Order)),
            "instances": sorted(i.status for i in instances),
            "keys": len(keys),
            "grants": sorted((g.kind, g.amount_micro, g.refunded_micro) for g in await self.rows(Grant)),
            "payments": sorted(
                (p.amount_minor, p.refunded_minor, p.status) for p in await self.rows(Payment)
            ),
            "subscriptions": sorted((s.status, s.paid_until_ms) for s in await self.rows(Subscription)),
            "credits": await self.credits(),
        }


async def at_once(*work: Any) -> list[Any]:
    return list(await asyncio.gather(*work))
