"""Meters that tenants defined."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from console_api.database.base import Base, Id, LongText, Ms, Name, Typed, Word


class MeterDefinition(Base):
    """A meter of a tenant's own. `group_by`: names and their paths; `percentile_ppm`: 0 for none."""

    __tablename__ = "meters"
    __table_args__ = (CheckConstraint("percentile_ppm BETWEEN 0 AND 999999", name="percentile_ppm"),)

    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.tenant_id"), primary_key=True)
    slug: Mapped[Id] = mapped_column(primary_key=True)
    name: Mapped[Name]
    description: Mapped[LongText] = mapped_column(default="")
    event_type: Mapped[Word]
    aggregation: Mapped[Word]
    value_path: Mapped[Name] = mapped_column(default="")
    percentile_ppm: Mapped[int] = mapped_column(default=0)
    group_by: Mapped[dict[str, str]] = mapped_column(Typed(dict[str, str]))
    unit: Mapped[Word] = mapped_column(default="")
    created_at_ms: Mapped[Ms]
