"""What is sold and what it costs: products, plans, price books and when they hold."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from console_api.catalogue.terms import Entitlements, Price
from console_api.database.base import Base, Id, LongText, Micro, Ms, Name, Typed, Word, one_of
from metering.plans import Allowance
from metering.price_schedule import PriceSchedule
from metering.prices import PriceBook


class Product(Base):
    """What can be bought: an agent, or credits for those one has. `code` is the tenant's own name for it."""

    __tablename__ = "products"
    __table_args__ = (
        UniqueConstraint("tenant_id", "code"),
        CheckConstraint(one_of("kind", "agent", "credits"), name="kind"),
        CheckConstraint(one_of("status", "draft", "active", "archived"), name="status"),
    )

    product_id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.tenant_id"))
    code: Mapped[Id]
    name: Mapped[Name]
    description: Mapped[LongText] = mapped_column(default="")
    kind: Mapped[Word] = mapped_column(default="agent")
    status: Mapped[Word] = mapped_column(default="active")
    version: Mapped[int] = mapped_column(default=1)
    created_at_ms: Mapped[Ms]
    updated_at_ms: Mapped[Ms]


class Plan(Base):
    """Terms under which a product is bought.

    `allowance` is granted anew each period of a subscription, `credits_once_micro` once for an order.
    """

    __tablename__ = "plans"
    __table_args__ = (
        UniqueConstraint("tenant_id", "code"),
        CheckConstraint(one_of("status", "draft", "active", "archived"), name="status"),
        CheckConstraint("credits_once_micro >= 0", name="credits_once"),
    )

    plan_id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.tenant_id"))
    product_id: Mapped[Id] = mapped_column(ForeignKey("products.product_id"), index=True)
    code: Mapped[Id]
    name: Mapped[Name]
    status: Mapped[Word] = mapped_column(default="active")
    entitlements: Mapped[Entitlements] = mapped_column(Typed(Entitlements))
    allowance: Mapped[Allowance | None] = mapped_column(Typed(Allowance))
    credits_once_micro: Mapped[Micro] = mapped_column(default=0)
    prices: Mapped[tuple[Price, ...]] = mapped_column(Typed(tuple[Price, ...]))
    version: Mapped[int] = mapped_column(default=1)
    created_at_ms: Mapped[Ms]
    updated_at_ms: Mapped[Ms]


class PriceBookRow(Base):
    """A published price book. Its version is derived from its content, so it never changes."""

    __tablename__ = "price_books"

    version: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.tenant_id"), primary_key=True)
    book: Mapped[PriceBook] = mapped_column(Typed(PriceBook))
    created_at_ms: Mapped[Ms]


class PriceScheduleRow(Base):
    """Which book a tenant's new runs are priced with from when."""

    __tablename__ = "price_schedules"

    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.tenant_id"), primary_key=True)
    schedule: Mapped[PriceSchedule] = mapped_column(Typed(PriceSchedule))
    version: Mapped[int] = mapped_column(default=1)
    updated_at_ms: Mapped[Ms]
