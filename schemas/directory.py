"""What the data plane knows of the control plane: projections kept in Redis."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from schemas.events import Channel, RunEvent

KeyKind = Literal["secret", "widget", "mcp"]
InstanceStatus = Literal["provisioning", "active", "suspended", "ended"]
#: Why an instance is suspended: an operator's word, a subscription's missing money, a disputed payment.
Suspension = Literal["operator", "payment", "dispute"]
Role = Literal["owner", "admin", "member", "viewer", "operator"]
#: What a key may be used for; none named means everything its kind allows.
KeyScope = Literal["runs:write", "runs:read", "usage:write"]


class Limits(Struct, frozen=True, kw_only=True):
    """What a plan allows an instance. 0 means no limit, except for `overage_micro`.

    `soft`: runs go on below zero, down to `overage_micro` of debt. `cap_output`: a request for more output
    than can be paid is shortened, not refused. `fail_open`: while Redis is away runs are admitted unchecked
    and charged later.
    """

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    max_concurrent_runs: int = 0
    daily_cap_micro: int = 0
    monthly_cap_micro: int = 0
    soft: bool = False
    overage_micro: int = 0
    cap_output: bool = True
    fail_open: bool = False


class LimitState(Struct, frozen=True, kw_only=True):
    """How a wallet stands, pushed to gateways. Absolute: a gateway keeps the one with the highest version.

    Below zero `available_micro` (the balance less all holds) says that runs which outgrew their holds have to
    end; a `balance_micro` at or below zero, that every run has to (in soft mode, at the ceiling).
    """

    org_id: str
    version: int
    balance_micro: int
    available_micro: int


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
    scopes: tuple[KeyScope, ...] = ()


class Branding(Struct, frozen=True, kw_only=True):
    """How an instance looks in its owner's pages."""

    title: str = ""
    #: `#rrggbb`.
    colour: str = ""
    logo_url: str = ""
    #: How it speaks, e.g. "warm and brief, first names".
    voice: str = ""
    #: The corner of the page that the widget opens in.
    position: Literal["right", "left"] = "right"


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
    limits: Limits = Limits()
    #: Empty: all of them.
    channels: tuple[Channel, ...] = ()
    branding: Branding = Branding()
    #: Whether there is anything to search.
    knowledge: bool = False
    #: Whether other systems can be called.
    connectors: bool = False
    suspended_for: tuple[Suspension, ...] = ()


class ConnectorRecord(Struct, frozen=True, kw_only=True):
    """A way to another system, as the runner opens it. `sealed` is what `kit.seal` made for `secret_id`."""

    connector_id: str
    kind: str
    name: str
    settings: dict[str, Any] = {}
    secret_id: str = ""
    sealed: bytes = b""
    #: Whether its tools are offered in runs of widgets, too.
    for_visitors: bool = False


class ConnectorsRecord(Struct, frozen=True, kw_only=True):
    """All enabled connectors of an instance."""

    instance_id: str
    tenant_id: str
    connectors: tuple[ConnectorRecord, ...] = ()


class AccessTokenRecord(Struct, frozen=True, kw_only=True):
    """Who a console or service token speaks for. An empty `org_id` means the whole tenant."""

    subject: str
    tenant_id: str
    org_id: str = ""
    role: Role = "owner"


class CustomerRecord(Struct, frozen=True, kw_only=True):
    """Who an org is to a payment provider, by the provider's own name for it."""

    org_id: str
    provider: str
    customer_ref: str


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
    #: The visitor whose widget session it is; only that one may look at it.
    visitor: str = ""


class KeptClosing(Struct, frozen=True, kw_only=True):
    """Of an answer that a gateway keeps, what others need: the event that closes its run."""

    closing: RunEvent
