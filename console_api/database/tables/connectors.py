"""Ways from instances to other systems. Credentials are not here but among the secrets."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from console_api.database.base import Base, Id, LongText, Ms, Name, Typed, Word

Settings = dict[str, Any]
Strings = tuple[str, ...]


class Connector(Base):
    """A connector of an instance. `version` grows with every change of it, but not with a test."""

    __tablename__ = "connectors"
    __table_args__ = (Index(None, "instance_id", "created_at_ms", "connector_id"),)

    connector_id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.tenant_id"))
    org_id: Mapped[Id] = mapped_column(ForeignKey("orgs.org_id"))
    instance_id: Mapped[Id] = mapped_column(ForeignKey("instances.instance_id"))
    kind: Mapped[Word]
    name: Mapped[Name]
    enabled: Mapped[bool] = mapped_column(default=True)
    #: Whether visitors of pages may use it.
    for_visitors: Mapped[bool] = mapped_column(default=False)
    settings: Mapped[Settings] = mapped_column(Typed(Settings))
    #: Names of the tools it makes.
    tools: Mapped[Strings] = mapped_column(Typed(Strings))
    #: Where its credentials are kept.
    secret_id: Mapped[Id]
    version: Mapped[int] = mapped_column(default=1)
    created_by: Mapped[Name]
    created_at_ms: Mapped[Ms]
    updated_at_ms: Mapped[Ms]
    #: What the last test said; 0: there was none since the last change.
    tested_at_ms: Mapped[Ms] = mapped_column(default=0)
    test_passed: Mapped[bool] = mapped_column(default=False)
    test_said: Mapped[LongText] = mapped_column(default="")
