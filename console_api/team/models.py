"""The team on the wire."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

TeamRole = Literal["owner", "admin", "member", "viewer"]

#: Whether it is somebody's only its mail server knows; this is to catch what cannot be one.
_ADDRESS = r"^[^@\s<>\",;]{1,64}@[^@\s<>\",;]+\.[^@\s<>\",;.]+$"
Email = Annotated[
    str, StringConstraints(strip_whitespace=True, to_lower=True, max_length=254, pattern=_ADDRESS)
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Invite(_Strict):
    """Who is to join, as what."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"email": "bob@example.com", "role": "member"}}
    )

    email: Email
    role: TeamRole = "member"


class RoleChange(_Strict):
    """What a member is to be."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"role": "admin"}})

    role: TeamRole


class Member(BaseModel):
    """Somebody who belongs to the org."""

    user_id: str
    email: str
    name: str
    role: TeamRole
    since_ms: int


class Invitation(BaseModel):
    """A place that waits for whoever signs in with that verified address."""

    invitation_id: str
    email: str
    role: TeamRole
    invited_by: str
    created_at_ms: int
    expires_at_ms: int


class Team(BaseModel):
    """Everybody, the oldest membership first; then who is invited."""

    members: list[Member]
    invitations: list[Invitation] = Field(description="Those that are still good")
