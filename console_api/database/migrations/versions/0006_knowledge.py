"""Knowledge sources."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "knowledge_sources",
        sa.Column("source_id", sa.String(length=128), nullable=False),
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("org_id", sa.String(length=128), nullable=False),
        sa.Column("instance_id", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("title", sa.String(length=256), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("blob", sa.String(length=128), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("max_pages", sa.BigInteger(), nullable=False),
        sa.Column("max_depth", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.String(length=32), nullable=False),
        sa.Column("pages", sa.BigInteger(), nullable=False),
        sa.Column("chunks", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("asked_model", sa.String(length=256), nullable=False),
        sa.Column("resync_hours", sa.BigInteger(), nullable=False),
        sa.Column("next_sync_ms", sa.BigInteger(), nullable=False),
        sa.Column("error_code", sa.String(length=128), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("page_errors", sa.JSON(), nullable=False),
        sa.Column("attempt_ms", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=256), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ready_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('upload', 'url', 'site', 'text', 'qa')", name=op.f("ck_knowledge_sources_kind")
        ),
        sa.ForeignKeyConstraint(
            ["instance_id"],
            ["instances.instance_id"],
            name=op.f("fk_knowledge_sources_instance_id_instances"),
        ),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.org_id"], name=op.f("fk_knowledge_sources_org_id_orgs")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_knowledge_sources_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("source_id", name=op.f("pk_knowledge_sources")),
    )
    op.create_index(
        op.f("ix_knowledge_sources_instance_id_created_at_ms_source_id"),
        "knowledge_sources",
        ["instance_id", "created_at_ms", "source_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_knowledge_sources_next_sync_ms"), "knowledge_sources", ["next_sync_ms"], unique=False
    )


def downgrade() -> None:
    op.drop_table("knowledge_sources")
