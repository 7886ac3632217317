"""What the data plane knows of the control plane: projections kept in Redis."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from schemas.events import Channel

KeyKind = Literal["secret", "widget", "mcp"]
InstanceStatus = Literal["provisioning", "active", "suspended", "ended"]
Role = Literal["owner", "admin", "member", "viewer", "operator"]


class ApiKeyRecord(Struct, frozen=True, kw_only=True):
    """An API key as the gateway sees it. Only the SHA-256 of the key itself is ever stored."""

    key_id: str
    kind: KeyKind
    tenant_id: str
    org_id: str
    instance_id: str
    revoked: bool = False
    expires_at_ms: int = 0
    allowed_origins: tuple[str, ...] = ()


class InstanceRecord(Struct, frozen=True, kw_only=True):
    """A purchased agent: its configuration and what its plan entitles it to."""

    instance_id: str
    tenant_id: str
    org_id: str
    name: str
    status: InstanceStatus
    default_model: str
    models: tuple[str, ...]
    system_prompt: str = ""
    greeting: str = ""
    tools: tuple[str, ...] = ()
    max_output_tokens: int = 1024
    created_at_ms: int = 0


class AccessTokenRecord(Struct, frozen=True, kw_only=True):
    """Who a console or service token speaks for. An empty `org_id` means the whole tenant."""

    subject: str
    tenant_id: str
    org_id: str = ""
    role: Role = "owner"


class RunLease(Struct, frozen=True, kw_only=True):
    """A run in flight, with what is needed to close it as `lost` if its gateway dies."""

    tenant_id: str
    org_id: str
    instance_id: str
    run_id: str
    channel: Channel
    key_id: str
    price_version: str
    started_at_ms: int
    model: str
    streamed: bool
