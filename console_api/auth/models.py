"""The caller, on the wire and inside."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from schemas.directory import Role


@dataclass(frozen=True)
class Principal:
    """Who is calling. An empty `org_id` means the whole tenant (a service or an operator)."""

    subject: str
    tenant_id: str
    org_id: str
    role: Role


class Account(BaseModel):
    """The caller as the API sees it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"subject": "ada@example.com", "tenant_id": "acme", "org_id": "org_1", "role": "owner"}
        }
    )

    subject: str
    tenant_id: str
    org_id: str
    role: Role
