"""Outbox, leases, audit log, sealed secrets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "outbox",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("outbox_id", sa.String(length=256), nullable=False),
        sa.Column("lane", sa.String(length=32), nullable=False),
        sa.Column("topic", sa.String(length=128), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("sent_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("parked_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_outbox")),
        sa.UniqueConstraint("outbox_id", name=op.f("uq_outbox_outbox_id")),
    )
    op.create_index(
        "ix_outbox_pending",
        "outbox",
        ["lane", "seq"],
        unique=False,
        sqlite_where=sa.text("sent_at_ms = 0 AND parked_at_ms = 0"),
        postgresql_where=sa.text("sent_at_ms = 0 AND parked_at_ms = 0"),
    )
    op.create_index(op.f("ix_outbox_sent_at_ms"), "outbox", ["sent_at_ms"], unique=False)
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("holder", sa.String(length=128), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "audit_log",
        sa.Column("audit_id", sa.String(length=128), nullable=False),
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("org_id", sa.String(length=128), nullable=False),
        sa.Column("actor", sa.String(length=256), nullable=False),
        sa.Column("action", sa.String(length=128), nullable=False),
        sa.Column("target_kind", sa.String(length=32), nullable=False),
        sa.Column("target_id", sa.String(length=128), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("audit_id", name=op.f("pk_audit_log")),
    )
    op.create_index(
        op.f("ix_audit_log_target_kind_target_id_at_ms"),
        "audit_log",
        ["target_kind", "target_id", "at_ms"],
        unique=False,
    )
    op.create_index(op.f("ix_audit_log_tenant_id_at_ms"), "audit_log", ["tenant_id", "at_ms"], unique=False)
    op.create_table(
        "secrets",
        sa.Column("secret_id", sa.String(length=128), nullable=False),
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("org_id", sa.String(length=128), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_with", sa.String(length=32), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_secrets_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("secret_id", name=op.f("pk_secrets")),
        sa.UniqueConstraint("tenant_id", "org_id", "name", name=op.f("uq_secrets_tenant_id_org_id_name")),
    )
    op.create_index(op.f("ix_secrets_sealed_with"), "secrets", ["sealed_with"], unique=False)


def downgrade() -> None:
    op.drop_table("secrets")
    op.drop_table("audit_log")
    op.drop_table("leases")
    op.drop_table("outbox")
