"""The caller, on the wire and inside."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from schemas.directory import Role


@dataclass(frozen=True)
class Principal:
    """Who is calling, and in which org. An empty `org_id` is the whole tenant: operators, analysts."""

    subject: str
    tenant_id: str
    org_id: str
    role: Role


@dataclass(frozen=True)
class Belonging:
    """A place that somebody has in an org."""

    org_id: str
    org_name: str
    role: Role


@dataclass(frozen=True)
class Person:
    """Who is calling, before it is known in which org. `user_id` is empty for a token that is nobody's own.

    `orgs`: the whole tenant, if they may look at it, then the oldest membership first. `subject` is what the
    audit log calls them.
    """

    user_id: str
    tenant_id: str
    subject: str
    email: str
    name: str
    is_operator: bool
    orgs: tuple[Belonging, ...]


class Account(BaseModel):
    """The caller as the API sees it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"subject": "ada@example.com", "tenant_id": "acme", "org_id": "org_1", "role": "owner"}
        }
    )

    subject: str
    tenant_id: str
    org_id: str = Field(description="Empty: the whole tenant")
    role: Role
