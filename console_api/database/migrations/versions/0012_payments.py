"""Money for nothing, ends that a provider has still to hear of, and why an instance is suspended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_STOPPING = sa.text("stop_due_at_ms > 0")


def upgrade() -> None:
    op.add_column("payments", sa.Column("surplus", sa.Boolean(), nullable=False, server_default=sa.false()))
    for name, kind in (("stop_due_at_ms", sa.BigInteger()), ("stop_attempts", sa.BigInteger())):
        op.add_column("subscriptions", sa.Column(name, kind, nullable=False, server_default="0"))
    op.create_index(
        "ix_subscriptions_stop_due",
        "subscriptions",
        ["stop_due_at_ms"],
        sqlite_where=_STOPPING,
        postgresql_where=_STOPPING,
    )
    op.add_column("instances", sa.Column("suspended_for", sa.JSON(), nullable=False, server_default="[]"))
    # Those of refunded orders were ended here only: their providers hear of it now.
    op.execute(
        "UPDATE subscriptions SET stop_due_at_ms = 1 WHERE ended_at_ms > 0 AND provider_ref IS NOT NULL "
        "AND provider NOT IN ('manual', 'dummy') "
        "AND order_id IN (SELECT order_id FROM orders WHERE status = 'refunded')"
    )
    # What nobody else can have suspended, an operator did.
    op.execute("UPDATE instances SET suspended_for = '[\"operator\"]' WHERE status = 'suspended'")
    op.execute(
        "UPDATE instances SET suspended_for = '[\"dispute\"]' WHERE status = 'suspended' "
        "AND order_id IN (SELECT order_id FROM orders WHERE status = 'refunded')"
    )
    op.execute(
        "UPDATE instances SET suspended_for = '[\"payment\"]' WHERE status = 'suspended' "
        "AND instance_id IN (SELECT instance_id FROM subscriptions WHERE status = 'paused')"
    )


def downgrade() -> None:
    op.drop_column("instances", "suspended_for")
    op.drop_index("ix_subscriptions_stop_due", table_name="subscriptions")
    op.drop_column("subscriptions", "stop_attempts")
    op.drop_column("subscriptions", "stop_due_at_ms")
    op.drop_column("payments", "surplus")
