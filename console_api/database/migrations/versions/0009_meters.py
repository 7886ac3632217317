"""Meters that tenants defined."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "meters",
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("slug", sa.String(length=128), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("event_type", sa.String(length=32), nullable=False),
        sa.Column("aggregation", sa.String(length=32), nullable=False),
        sa.Column("value_path", sa.String(length=256), nullable=False),
        sa.Column("percentile_ppm", sa.BigInteger(), nullable=False),
        sa.Column("group_by", sa.JSON(), nullable=False),
        sa.Column("unit", sa.String(length=32), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("percentile_ppm BETWEEN 0 AND 999999", name=op.f("ck_meters_percentile_ppm")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_meters_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "slug", name=op.f("pk_meters")),
    )


def downgrade() -> None:
    op.drop_table("meters")
