"""What a migration makes of the rows that were there before it."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from orders_rig import DAY_MS, PRICE, Shop
from sqlalchemy import Connection

from console_api.database import migrate as migrations
from console_api.database.tables import Instance, Subscription
from console_api.payments.port import MoneyReturned


def _back(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations._SCRIPTS))
    config.attributes["connection"] = connection
    command.downgrade(config, revision)


async def _returned(shop: Shop, order_id: str, reason: str) -> None:
    fact = MoneyReturned(
        provider="stripe",
        payment_ref=f"pi_{order_id}",
        returned_minor=PRICE * 100,
        reason=reason,
        at_ms=shop.world.clock(),
    )
    await shop.tell(fact)


async def test_reasons_are_found_and_providers_of_refunded_orders_are_asked(shop: Shop) -> None:
    disputed = await shop.order(every="once", key="disputed-order")
    refunded = await shop.order(key="refunded-order")
    unpaid = await shop.order(key="unpaid-order")
    paid = [shop.paid(disputed), shop.paid(refunded), shop.paid(unpaid, subscription_ref="sub_2")]
    assert await shop.tell_all(paid) == []
    await _returned(shop, disputed.order_id, "dispute")
    await _returned(shop, refunded.order_id, "refund")
    await shop.settle(50 * DAY_MS)
    await shop.world.set_status("suspended")

    async with shop.world.database.writing() as session:
        await (await session.connection()).run_sync(_back, "0011")
    await migrations.migrate(shop.world.database)

    assert await migrations.drift(shop.world.database) == []
    reasons = {row.order_id: (row.status, row.suspended_for) for row in await shop.rows(Instance)}
    assert reasons == {
        None: ("suspended", ("operator",)),
        disputed.order_id: ("suspended", ("dispute",)),
        unpaid.order_id: ("suspended", ("payment",)),
        refunded.order_id: ("ended", ()),
    }
    due = {row.order_id: row.stop_due_at_ms for row in await shop.rows(Subscription)}
    assert due == {refunded.order_id: 1, unpaid.order_id: 0}
