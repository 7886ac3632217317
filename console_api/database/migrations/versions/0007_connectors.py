"""Connectors."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "connectors",
        sa.Column("connector_id", sa.String(length=128), nullable=False),
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("org_id", sa.String(length=128), nullable=False),
        sa.Column("instance_id", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("tools", sa.JSON(), nullable=False),
        sa.Column("secret_id", sa.String(length=128), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=256), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("tested_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("test_passed", sa.Boolean(), nullable=False),
        sa.Column("test_said", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instances.instance_id"], name=op.f("fk_connectors_instance_id_instances")
        ),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.org_id"], name=op.f("fk_connectors_org_id_orgs")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_connectors_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("connector_id", name=op.f("pk_connectors")),
    )
    op.create_index(
        op.f("ix_connectors_instance_id_created_at_ms_connector_id"),
        "connectors",
        ["instance_id", "created_at_ms", "connector_id"],
        unique=False,
    )


def downgrade() -> None:
    op.drop_table("connectors")
