"""What Alembic runs: the migrations, on the connection and in the transaction it is given."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # The caller began the transaction, and a batch of steps is all or nothing.
    transaction_per_migration=False,
    transactional_ddl=True,
)
context.run_migrations()
