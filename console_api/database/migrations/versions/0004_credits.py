"""Subscriptions, payments, and the grants that come of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("subscription_id", sa.String(length=128), nullable=False),
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("org_id", sa.String(length=128), nullable=False),
        sa.Column("plan_id", sa.String(length=128), nullable=False),
        sa.Column("order_id", sa.String(length=128), nullable=True),
        sa.Column("instance_id", sa.String(length=128), nullable=True),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("provider_ref", sa.String(length=256), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("started_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("granted_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("paid_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("past_due_since_ms", sa.BigInteger(), nullable=False),
        sa.Column("told_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("every", sa.String(length=32), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "status IN ('active', 'past_due', 'paused', 'ended')", name=op.f("ck_subscriptions_status")
        ),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instances.instance_id"], name=op.f("fk_subscriptions_instance_id_instances")
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.order_id"], name=op.f("fk_subscriptions_order_id_orders")
        ),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.org_id"], name=op.f("fk_subscriptions_org_id_orgs")),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.plan_id"], name=op.f("fk_subscriptions_plan_id_plans")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_subscriptions_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("subscription_id", name=op.f("pk_subscriptions")),
        sa.UniqueConstraint("order_id", name=op.f("uq_subscriptions_order_id")),
        sa.UniqueConstraint("provider", "provider_ref", name=op.f("uq_subscriptions_provider_provider_ref")),
    )
    op.create_index(op.f("ix_subscriptions_org_id"), "subscriptions", ["org_id"], unique=False)
    op.create_index(
        op.f("ix_subscriptions_status_subscription_id"),
        "subscriptions",
        ["status", "subscription_id"],
        unique=False,
    )
    op.create_table(
        "payments",
        sa.Column("payment_id", sa.String(length=128), nullable=False),
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("org_id", sa.String(length=128), nullable=False),
        sa.Column("order_id", sa.String(length=128), nullable=True),
        sa.Column("subscription_id", sa.String(length=128), nullable=True),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("provider_ref", sa.String(length=256), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("currency", sa.String(length=32), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), nullable=False),
        sa.Column("clawed_micro", sa.BigInteger(), nullable=False),
        sa.Column("period_start_ms", sa.BigInteger(), nullable=False),
        sa.Column("period_end_ms", sa.BigInteger(), nullable=False),
        sa.Column("returned_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "status IN ('pending', 'succeeded', 'failed', 'refunded')", name=op.f("ck_payments_status")
        ),
        sa.CheckConstraint(
            "refunded_minor >= 0 AND refunded_minor <= amount_minor", name=op.f("ck_payments_refunded")
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_payments_order_id_orders")),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.org_id"], name=op.f("fk_payments_org_id_orgs")),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.subscription_id"],
            name=op.f("fk_payments_subscription_id_subscriptions"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_payments_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("payment_id", name=op.f("pk_payments")),
        sa.UniqueConstraint("provider", "provider_ref", name=op.f("uq_payments_provider_provider_ref")),
    )
    op.create_index(op.f("ix_payments_order_id"), "payments", ["order_id"], unique=False)
    op.create_index(op.f("ix_payments_org_id"), "payments", ["org_id"], unique=False)
    op.create_table(
        "webhook_deliveries",
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("event_id", sa.String(length=256), nullable=False),
        sa.Column("kind", sa.String(length=256), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("applied_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "status IN ('received', 'applied', 'ignored', 'failed')",
            name=op.f("ck_webhook_deliveries_status"),
        ),
        sa.PrimaryKeyConstraint("provider", "event_id", name=op.f("pk_webhook_deliveries")),
    )
    op.create_index(
        op.f("ix_webhook_deliveries_status_received_at_ms"),
        "webhook_deliveries",
        ["status", "received_at_ms"],
        unique=False,
    )
    op.create_table(
        "grants",
        sa.Column("grant_id", sa.String(length=128), nullable=False),
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("org_id", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("amount_micro", sa.BigInteger(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("effective_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("rollover_cap_micro", sa.BigInteger(), nullable=False),
        sa.Column("rollover_ms", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=512), nullable=False),
        sa.Column("subscription_id", sa.String(length=128), nullable=True),
        sa.Column("period", sa.String(length=32), nullable=True),
        sa.Column("order_id", sa.String(length=128), nullable=True),
        sa.Column("voided_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("refunded_micro", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('purchase', 'plan', 'promotion', 'correction', 'trial')", name=op.f("ck_grants_kind")
        ),
        sa.CheckConstraint("amount_micro > 0", name=op.f("ck_grants_amount")),
        sa.CheckConstraint(
            "refunded_micro >= 0 AND refunded_micro <= amount_micro", name=op.f("ck_grants_refunded")
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_grants_order_id_orders")),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.org_id"], name=op.f("fk_grants_org_id_orgs")),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.subscription_id"],
            name=op.f("fk_grants_subscription_id_subscriptions"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_grants_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("grant_id", name=op.f("pk_grants")),
        sa.UniqueConstraint("order_id", "kind", name=op.f("uq_grants_order_id_kind")),
        sa.UniqueConstraint("subscription_id", "period", name=op.f("uq_grants_subscription_id_period")),
    )
    op.create_index(
        op.f("ix_grants_org_id_created_at_ms"), "grants", ["org_id", "created_at_ms"], unique=False
    )
    op.create_table(
        "grant_commands",
        sa.Column("command_id", sa.String(length=128), nullable=False),
        sa.Column("grant_id", sa.String(length=128), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("amount_micro", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=512), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("action IN ('void', 'refund')", name=op.f("ck_grant_commands_action")),
        sa.CheckConstraint("amount_micro >= 0", name=op.f("ck_grant_commands_amount")),
        sa.ForeignKeyConstraint(
            ["grant_id"], ["grants.grant_id"], name=op.f("fk_grant_commands_grant_id_grants")
        ),
        sa.PrimaryKeyConstraint("command_id", name=op.f("pk_grant_commands")),
    )
    op.create_index(op.f("ix_grant_commands_grant_id"), "grant_commands", ["grant_id"], unique=False)
    op.create_table(
        "topups",
        sa.Column("org_id", sa.String(length=128), nullable=False),
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("threshold_micro", sa.BigInteger(), nullable=False),
        sa.Column("plan_id", sa.String(length=128), nullable=False),
        sa.Column("currency", sa.String(length=32), nullable=False),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("ceiling_minor", sa.BigInteger(), nullable=False),
        sa.Column("cool_off_s", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("declines", sa.BigInteger(), nullable=False),
        sa.Column("order_id", sa.String(length=128), nullable=True),
        sa.Column("next_try_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("threshold_micro >= 0", name=op.f("ck_topups_threshold")),
        sa.CheckConstraint("ceiling_minor >= 0", name=op.f("ck_topups_ceiling")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_topups_order_id_orders")),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.org_id"], name=op.f("fk_topups_org_id_orgs")),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.plan_id"], name=op.f("fk_topups_plan_id_plans")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_topups_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("org_id", name=op.f("pk_topups")),
    )
    op.create_index(
        op.f("ix_topups_enabled_next_try_at_ms"), "topups", ["enabled", "next_try_at_ms"], unique=False
    )


def downgrade() -> None:
    op.drop_table("topups")
    op.drop_table("grant_commands")
    op.drop_table("grants")
    op.drop_table("webhook_deliveries")
    op.drop_table("payments")
    op.drop_table("subscriptions")
