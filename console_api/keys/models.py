"""Keys on the wire."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from schemas.directory import KeyKind, KeyScope

KeyStatus = Literal["active", "expired", "revoked"]
MAX_GRACE_S = 30 * 86_400

_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\]")
_LOCAL = ("localhost", "127.0.0.1", "[::1]")


def _origin(text: str) -> str:
    """Return an origin as browsers send it: scheme, host and port, nothing else, in lower case."""
    origin = text.strip().lower()
    parts = urlsplit(origin)
    host = parts.netloc.rpartition(":")[0] if re.search(r":\d+$", parts.netloc) else parts.netloc
    plain = f"{parts.scheme}://{parts.netloc}" == origin and _HOST.fullmatch(host) is not None
    if not plain or (parts.scheme != "https" and not (parts.scheme == "http" and host in _LOCAL)):
        raise ValueError("an origin is https://host or https://host:port (http only for localhost)")
    return origin


Origin = Annotated[str, Field(max_length=256), AfterValidator(_origin)]


class NewKey(BaseModel):
    """What a key is to be. Only a widget's key has origins, and it needs one."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"kind": "secret", "name": "backend"}}
    )

    kind: KeyKind
    name: str = Field(min_length=1, max_length=100)
    scopes: list[KeyScope] = Field(
        default=[], max_length=8, description="What it may be used for; none named: all its kind allows"
    )
    allowed_origins: list[Origin] = Field(default=[], max_length=32, examples=[["https://shop.example.com"]])
    expires_at_ms: int = Field(default=0, ge=0, le=4_102_444_800_000, description="Unix ms; 0 is never")

    @model_validator(mode="after")
    def _origins_fit(self) -> Self:
        if self.kind == "widget" and not self.allowed_origins:
            raise ValueError("a widget's key needs the origins of the pages it is embedded in")
        if self.kind != "widget" and self.allowed_origins:
            raise ValueError("only a widget's key has allowed_origins")
        return self


class KeyChange(BaseModel):
    """What is to change about a key; what is left out stays."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"allowed_origins": ["https://shop.example.com"]}}
    )

    name: str | None = Field(default=None, min_length=1, max_length=100)
    allowed_origins: list[Origin] | None = Field(default=None, min_length=1, max_length=32)


class BlockedOrigin(BaseModel):
    """A page that a widget's key does not name, and that tried to use it."""

    origin: str = Field(description="`other`: pages beyond the 50 a day that are told apart")
    tries: int


class BlockedOrigins(BaseModel):
    """What was refused in the last seven days, the most often first."""

    origins: list[BlockedOrigin]


class Rotation(BaseModel):
    """How the old key ends."""

    model_config = ConfigDict(extra="forbid")

    grace_s: int = Field(
        default=86_400, ge=0, le=MAX_GRACE_S, description="For how long the old key stays valid"
    )


class Key(BaseModel):
    """A key as lists show it: never the key itself."""

    key_id: str
    kind: KeyKind
    name: str
    prefix: str = Field(description="How the key begins", examples=["rm_sk_k3v9a2x8pq_"])
    scopes: list[str]
    allowed_origins: list[str]
    status: KeyStatus
    created_at_ms: int
    created_by: str
    expires_at_ms: int = Field(description="0 is never")
    revoked_at_ms: int = Field(description="0: not revoked")
    last_used_at_ms: int = Field(description="0: not yet; up to half a minute late")
    rotated_from: str | None


class ShownKey(Key):
    """A new key. `key` is shown here and never again."""

    key: str


class KeyPage(BaseModel):
    """One page of an instance's keys, newest first."""

    api_keys: list[Key]
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page")


class Introspection(BaseModel):
    """Which key to look at."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(min_length=1, max_length=512)


class LimitsView(BaseModel):
    """0 is no limit."""

    requests_per_minute: int
    tokens_per_minute: int
    max_concurrent_runs: int
    daily_cap_micro: int
    monthly_cap_micro: int


class EntitlementsView(BaseModel):
    """What the instance may use. No channels: all of them."""

    models: list[str]
    default_model: str
    tools: list[str]
    channels: list[str]
    max_output_tokens: int
    limits: LimitsView


class Inactive(BaseModel):
    """All that is said of a key that opens nothing, whatever the reason."""

    active: Literal[False] = False


class Active(BaseModel):
    """Whose key it is and what it opens."""

    active: Literal[True] = True
    key_id: str
    kind: KeyKind
    tenant_id: str
    org_id: str
    instance_id: str
    scopes: list[str]
    allowed_origins: list[str]
    expires_at_ms: int
    entitlements: EntitlementsView
