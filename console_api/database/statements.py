"""Statements that SQLite and PostgreSQL share but SQLAlchemy spells twice."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CursorResult
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.database.base import Base


async def insert_if_new(session: AsyncSession, table: type[Base], **values: Any) -> bool:
    """Insert one row, unless a unique constraint says that it is there. Return whether it was new.

    On PostgreSQL it waits for a transaction that is just inserting the same.
    """
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    result = await session.execute(dialect.insert(table).values(**values).on_conflict_do_nothing())
    assert isinstance(result, CursorResult)
    return result.rowcount == 1
