"""Orgs on the wire."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from schemas.directory import Role

OrgName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=256)]


class OrgTerms(BaseModel):
    """What can be said of an org."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "Analytical Engines"}})

    name: OrgName


class OwnOrg(BaseModel):
    """An org that the caller belongs to. In one that is suspended everybody only looks."""

    org_id: str
    name: str
    role: Role


class OwnOrgs(BaseModel):
    """The caller's orgs, the oldest membership first: the one that is meant where none is named."""

    orgs: list[OwnOrg]
    is_operator: bool = Field(description="Whether the caller may act for the whole tenant")


class OrgView(BaseModel):
    """An org."""

    org_id: str
    name: str
    status: str
    external_id: str | None = Field(description="What the shop that sold to it calls it")
    members: int
    instances: int
    created_at_ms: int


class OrgPage(BaseModel):
    """One page of orgs, newest first."""

    orgs: list[OrgView]
    next_cursor: str | None
