"""Corrections of runs, dead letters and reconciliations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_index(
        op.f("ix_grants_tenant_id_created_at_ms"), "grants", ["tenant_id", "created_at_ms"], unique=False
    )
    op.create_table(
        "run_corrections",
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("org_id", sa.String(length=128), nullable=False),
        sa.Column("run_id", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("terms", sa.JSON(), nullable=False),
        sa.Column("expected_micro", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=512), nullable=False),
        sa.Column("requested_by", sa.String(length=256), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('void', 'amend', 'rerate')", name=op.f("ck_run_corrections_kind")),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.org_id"], name=op.f("fk_run_corrections_org_id_orgs")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_run_corrections_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "request_id", name=op.f("pk_run_corrections")),
    )
    op.create_index(
        op.f("ix_run_corrections_tenant_id_created_at_ms"),
        "run_corrections",
        ["tenant_id", "created_at_ms"],
        unique=False,
    )
    op.create_index(
        op.f("ix_run_corrections_org_id_created_at_ms"),
        "run_corrections",
        ["org_id", "created_at_ms"],
        unique=False,
    )
    op.create_table(
        "dead_letters",
        sa.Column("letter_id", sa.String(length=256), nullable=False),
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("org_id", sa.String(length=128), nullable=False),
        sa.Column("topic", sa.String(length=128), nullable=False),
        sa.Column("partition", sa.BigInteger(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=256), nullable=False),
        sa.Column("detail", sa.String(length=512), nullable=False),
        sa.Column("worker", sa.String(length=256), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=True),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("replays", sa.BigInteger(), nullable=False),
        sa.Column("replayed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("replayed_by", sa.String(length=256), nullable=False),
        sa.PrimaryKeyConstraint("letter_id", name=op.f("pk_dead_letters")),
    )
    op.create_index(
        op.f("ix_dead_letters_tenant_id_recorded_at_ms_letter_id"),
        "dead_letters",
        ["tenant_id", "recorded_at_ms", "letter_id"],
        unique=False,
    )
    op.create_table(
        "reconciliations",
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("only_org_id", sa.String(length=128), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("requested_by", sa.String(length=256), nullable=False),
        sa.Column("requested_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_reconciliations_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_reconciliations")),
    )
    op.create_index(
        op.f("ix_reconciliations_tenant_id_requested_at_ms_request_id"),
        "reconciliations",
        ["tenant_id", "requested_at_ms", "request_id"],
        unique=False,
    )


def downgrade() -> None:
    op.drop_table("reconciliations")
    op.drop_table("dead_letters")
    op.drop_table("run_corrections")
    op.drop_index(op.f("ix_grants_tenant_id_created_at_ms"), table_name="grants")
