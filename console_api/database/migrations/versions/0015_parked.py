"""Parked rows of the outbox are found without reading all that was sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_PARKED = sa.text("parked_at_ms > 0")


def upgrade() -> None:
    op.create_index(
        "ix_outbox_parked", "outbox", ["parked_at_ms"], sqlite_where=_PARKED, postgresql_where=_PARKED
    )


def downgrade() -> None:
    op.drop_index("ix_outbox_parked", table_name="outbox")
