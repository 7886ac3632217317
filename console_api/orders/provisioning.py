"""What a paid order sets going, step by step: instance → credits → key → active → known.

Each step is one transaction that locks the order, does its part and names the next step. A crash between
two leaves the order at the one that is due; a crash within one leaves nothing of it. So whoever works on an
order, however often, and however many at once, there is one instance, one grant of each kind and one key.

Orders of credits have two steps only: `credits` and `active`, which waits until they are in the wallet.
An agent's order is done once gateways know its instance, too, so that what is provisioned can be used.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.control.credits import service as credits
from console_api.control.directory import repository as directory_rows
from console_api.control.directory import service as directory
from console_api.control.outbox.relay import OUTAGES
from console_api.control.plane import ControlPlane
from console_api.control.vault import service as vault
from console_api.database.tables import Order, Plan, Product
from console_api.keys import service as keys
from console_api.keys.models import NewKey
from console_api.orders import repository, returns
from console_api.subscriptions import periods
from console_api.subscriptions import repository as subscriptions
from console_api.subscriptions import service as beginnings
from kit.problems import Problem
from schemas.events import GrantEvent

log = logging.getLogger(__name__)

ACTOR = "provisioning"
_AT_ONCE = 20
_POLL_S = 1.0
#: How long credits take to arrive, usually; and how often that is looked at while Kafka is away.
_ARRIVES_MS = 100
_ARRIVES_MAX_MS = 5_000
_RETRY_MIN_MS = 1_000
_RETRY_MAX_MS = 300_000
_MAX_ERROR_CHARS = 500

_Step = Callable[["_Work"], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Reached:
    """What an order waits for, since it happens elsewhere. Both raise `RedisError`."""

    #: Whether all of these grants are in the org's wallet.
    wallet: Callable[[str, Sequence[str]], Awaitable[bool]]
    #: Whether gateways see the instance as active.
    gateways: Callable[[str], Awaitable[bool]]


class _NotYet(Exception):
    """The order's credits are on their way to the wallet, or its instance to the gateways."""


def first_step(product: Product) -> str:
    """Return where a paid order begins."""
    return "instance" if product.kind == "agent" else "credits"


def secret_name(order_id: str) -> str:
    """Return the name under which an order's welcome key waits, sealed, to be shown once."""
    return f"welcome-key/{order_id}"


class _Work:
    """One step of one order, in one transaction."""

    def __init__(
        self, plane: ControlPlane, reached: Reached, session: AsyncSession, order: Order, now_ms: int
    ) -> None:
        self.plane = plane
        self.reached = reached
        self.session = session
        self.order = order
        self.now_ms = now_ms

    async def plan(self) -> tuple[Plan, Product]:
        return await repository.plan(self.session, self.order.plan_id)


async def _make_instance(work: _Work) -> str:
    order, session = work.order, work.session
    plan, product = await work.plan()
    org = await directory_rows.org(session, order.tenant_id, order.org_id)
    assert org is not None
    made = await directory.add_instance(
        session, org, plan.plan_id, product.name, actor=ACTOR, at_ms=work.now_ms, order_id=order.order_id
    )
    if order.every != "once":
        await beginnings.begin(session, order, made.instance_id, work.now_ms)
    return "credits"


async def _give_credits(work: _Work) -> str:
    order, session = work.order, work.session
    plan, product = await work.plan()
    if plan.credits_once_micro:
        event = GrantEvent(
            grant_id=f"order/{order.order_id}",
            tenant_id=order.tenant_id,
            org_id=order.org_id,
            kind="purchase",
            amount_micro=plan.credits_once_micro,
            reason=f"{product.name}: {plan.name}",
            occurred_at_ms=work.now_ms,
        )
        await credits.issue(session, event, actor=ACTOR, at_ms=work.now_ms, order_id=order.order_id)
    row = await subscriptions.of_order(session, order.order_id)
    if row is not None and plan.allowance is not None:
        await credits.issue_due(
            session,
            row.subscription_id,
            plan.allowance,
            periods.grantable(row, work.now_ms),
            actor=ACTOR,
            now_ms=work.now_ms,
        )
    await returns.settle_order(session, order, work.now_ms)
    return "key" if product.kind == "agent" else "active"


async def _make_key(work: _Work) -> str:
    order, session = work.order, work.session
    instance = await directory_rows.instance_of_order(session, order.order_id)
    assert instance is not None
    wanted = NewKey(kind="secret", name="Welcome key")
    _, text = await keys.mint(session, instance, wanted, actor=ACTOR, at_ms=work.now_ms)
    await vault.keep(
        session,
        work.plane.seal,
        order.tenant_id,
        secret_name(order.order_id),
        text,
        org_id=order.org_id,
        actor=ACTOR,
        at_ms=work.now_ms,
    )
    return "active"


async def _activate(work: _Work) -> str:
    granted = await repository.granted_with(work.session, work.order.order_id)
    if granted and not await work.reached.wallet(work.order.org_id, granted):
        raise _NotYet
    instance = await directory_rows.instance_of_order(work.session, work.order.order_id)
    if instance is not None and instance.status == "provisioning":
        await directory.set_status(
            work.session, instance.instance_id, "active", actor=ACTOR, at_ms=work.now_ms
        )
        return "known"
    return "done"


async def _know(work: _Work) -> str:
    instance = await directory_rows.instance_of_order(work.session, work.order.order_id)
    # Whoever suspends it meanwhile does not keep the order waiting.
    if instance is None or instance.status != "active":
        return "done"
    if not await work.reached.gateways(instance.instance_id):
        raise _NotYet
    return "done"


_STEPS: dict[str, _Step] = {
    "instance": _make_instance,
    "credits": _give_credits,
    "key": _make_key,
    "active": _activate,
    "known": _know,
}


class Provisioner:
    """Works off paid orders. Any number of processes may; the order's lock and step say who does what."""

    def __init__(self, plane: ControlPlane, reached: Reached) -> None:
        self._plane = plane
        self._reached = reached
        self._awaited = False
        self._committed = plane.database.on_commit()

    async def run(self) -> None:
        """Work off what is due, for ever."""
        while True:
            self._committed.clear()
            try:
                if await self.turn():
                    continue
            except OUTAGES as error:
                log.warning("provisioning waits", extra={"error": repr(error)})
            wait_s = _ARRIVES_MS / 1_000 if self._awaited else _POLL_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._committed.wait()

    async def turn(self) -> int:
        """Take each due order as far as it goes; return how many there were. Raises one of `OUTAGES`."""
        async with self._plane.database.reading() as session:
            due = await repository.due(session, self._plane.clock(), _AT_ONCE)
        self._awaited = False
        for order_id in due:
            await self.provision(order_id)
        return len(due)

    async def provision(self, order_id: str) -> None:
        """Do an order's steps until it is done, or one fails."""
        try:
            while await self.step(order_id):
                pass
        except OUTAGES:
            raise
        except _NotYet:
            await self._later(order_id)
        except Exception as error:
            log.exception("provisioning failed", extra={"order_id": order_id})
            await self._failed(order_id, error)

    async def step(self, order_id: str) -> bool:
        """Do the step that is due; return whether there is another one."""
        async with self._plane.database.writing() as session:
            order = await repository.order(session, order_id, lock=True)
            if order is None or order.status != "paid":
                return False
            now = self._plane.clock()
            order.step = await _STEPS[order.step](_Work(self._plane, self._reached, session, order, now))
            order.attempts, order.error, order.next_try_at_ms = 0, "", now
            order.updated_at_ms = now
            if order.step == "done":
                order.status = "provisioned"
            return order.status == "paid"

    async def _later(self, order_id: str) -> None:
        """Look again soon: usually it takes but a moment, and while Kafka is away it takes as long."""
        self._awaited = True
        async with self._plane.database.writing() as session:
            order = await repository.order(session, order_id, lock=True)
            if order is not None and order.status == "paid":
                wait_ms = min(_ARRIVES_MS << min(order.attempts, 20), _ARRIVES_MAX_MS)
                order.attempts += 1
                order.next_try_at_ms = self._plane.clock() + wait_ms

    async def _failed(self, order_id: str, error: Exception) -> None:
        """Note why, and when to try again; what can never succeed is left to an operator."""
        async with self._plane.database.writing() as session:
            order = await repository.order(session, order_id, lock=True)
            if order is None or order.status != "paid":
                return
            order.attempts += 1
            order.error = (str(error) or type(error).__name__)[:_MAX_ERROR_CHARS]
            wait_ms = min(_RETRY_MIN_MS << min(order.attempts - 1, 20), _RETRY_MAX_MS)
            order.next_try_at_ms = self._plane.clock() + wait_ms
            if isinstance(error, Problem) and error.status < 500:
                order.status = "failed"
