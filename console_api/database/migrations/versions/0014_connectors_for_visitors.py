"""Connectors that the visitors of pages may use: of those that are there, the ones that only send."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column(
        "connectors", sa.Column("for_visitors", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    connectors = sa.table(
        "connectors", sa.column("kind", sa.String()), sa.column("for_visitors", sa.Boolean())
    )
    op.execute(
        connectors.update()
        .where(connectors.c.kind.in_(("slack", "webhook", "zendesk")))
        .values(for_visitors=sa.true())
    )


def downgrade() -> None:
    op.drop_column("connectors", "for_visitors")
