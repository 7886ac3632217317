"""Alerts on the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from console_api.alerts.kinds import AlertKind, ChannelKind
from schemas.events import MAX_EXACT

MAX_ADDRESSES = 10
#: Plain addresses as RFC 5321 has them, without quotes and comments.
_EMAIL = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})(?:\.[A-Za-z0-9-]{1,63})+$"

_Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]*\S[^\x00-\x1f]*$")]
_Address = Annotated[str, Field(max_length=254, pattern=_EMAIL, examples=["ops@example.com"])]
_Addresses = Annotated[list[_Address], Field(min_length=1, max_length=MAX_ADDRESSES)]
_Url = Annotated[str, Field(max_length=2_048, pattern=r"^https?://[^\s@]+$")]
_Secret = Annotated[
    str,
    Field(
        pattern=r"^whsec_[A-Za-z0-9+/]{32,88}={0,2}$",
        description="`whsec_` and 24 to 64 bytes in base64. Never shown again",
    ),
]
_BotToken = Annotated[
    str,
    Field(pattern=r"^xox[bp]-[A-Za-z0-9-]{10,250}$", description="With `chat:write`. Never shown again"),
]
_SlackChannel = Annotated[
    str,
    Field(
        pattern=r"^(?:[CGD][A-Z0-9]{6,20}|#[a-z0-9._-]{1,80})$",
        description="The channel's id, such as C0123456789, or its name with a #",
        examples=["#billing"],
    ),
]
Percent = Literal[50, 80, 100]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewEmail(_Strict):
    """Mail to a few addresses."""

    kind: Literal["email"]
    name: _Name
    addresses: _Addresses


class NewSlack(_Strict):
    """Slack: an incoming webhook's address, or a bot's token and a channel."""

    kind: Literal["slack"]
    name: _Name
    webhook_url: _Url | None = Field(default=None, description="It is a secret, and never shown again")
    bot_token: _BotToken | None = None
    channel: _SlackChannel | None = None


class NewWebhook(_Strict):
    """A webhook of one's own, signed as Standard Webhooks has it."""

    kind: Literal["webhook"]
    name: _Name
    url: _Url
    secret: _Secret | None = Field(
        default=None, description="What both sides sign with. Without it, one is made and shown once"
    )


NewChannel = Annotated[NewEmail | NewSlack | NewWebhook, Field(discriminator="kind")]


class ChannelChange(_Strict):
    """What is to be different; what is left out stays as it is. Only fields of the channel's kind fit."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"enabled": False}})

    name: _Name | None = None
    enabled: bool | None = None
    addresses: _Addresses | None = None
    webhook_url: _Url | None = None
    bot_token: _BotToken | None = None
    channel: _SlackChannel | None = None
    url: _Url | None = None
    secret: _Secret | None = None


class ChannelTest(BaseModel):
    """What came of trying a channel."""

    passed: bool
    said: str = Field(description="What was reached, or what went wrong")
    at_ms: int


class ChannelView(BaseModel):
    """A channel. What opens it is never shown."""

    channel_id: str
    kind: ChannelKind
    name: str
    enabled: bool
    built_in: bool = Field(description="Ours: `owners`, the org's owners by e-mail")
    target: str = Field(description="Where it leads, for people; without what is secret in it")
    usable: bool = Field(description="false: an e-mail channel where no mail server is set up")
    last_test: ChannelTest | None = Field(description="null: not tried since it was changed")
    created_by: str
    created_at_ms: int
    updated_at_ms: int


class MadeChannel(ChannelView):
    """A channel that was just made."""

    signing_secret: str | None = Field(description="If it was made for you: keep it, it is shown this once")


class ChannelList(BaseModel):
    """All channels of an org: its owners, then the oldest first."""

    channels: list[ChannelView]
    max_channels: int


class RuleChange(_Strict):
    """A rule as it is to be. Terms that a kind does not have are left out."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"enabled": True, "channels": ["owners"], "thresholds_percent": [80, 100]}
        },
    )

    enabled: bool
    channels: list[Annotated[str, Field(min_length=1, max_length=128)]] = Field(max_length=50)
    thresholds_percent: list[Percent] | None = Field(
        default=None, min_length=1, max_length=3, description="Of `credits` and `cap`: what is told"
    )
    days: int | None = Field(
        default=None, ge=1, le=60, description="Of `forecast`: told when the credits end within so many days"
    )
    minimum_micro: int | None = Field(
        default=None,
        ge=0,
        le=MAX_EXACT,
        description="Of `anomaly`: less than this in an hour is never unusual, in micro-credits",
    )


class RuleView(BaseModel):
    """A rule: what an org is told of this kind, and where."""

    kind: AlertKind
    title: str
    description: str
    enabled: bool
    channels: list[str] = Field(description="Ids of channels")
    thresholds_percent: list[Percent] | None = Field(description="null: this kind has none")
    days: int | None
    minimum_micro: int | None
    is_default: bool = Field(description="Nobody has changed it yet")


class RuleList(BaseModel):
    """All rules, one for each kind."""

    rules: list[RuleView]


class DeliveryView(BaseModel):
    """One message of an alert."""

    delivery_id: str = Field(description="The `webhook-id` and `Message-ID` that receivers see")
    channel_id: str
    channel: str = Field(description="The channel's name; empty if it is gone")
    status: Literal["waiting", "sent", "dead", "skipped"]
    attempts: int
    next_try_at_ms: int = Field(description="0: there is no next try")
    sent_at_ms: int
    error: str = Field(description="Why it was not sent, or what went wrong beside that")


class AlertView(BaseModel):
    """Something that was told."""

    alert_id: str
    kind: AlertKind
    title: str
    text: str
    subject: str = Field(description="What it is about: `wallet`, an instance, a subscription …")
    details: dict[str, Any] = Field(description="The figures behind the text")
    occurred_at_ms: int
    deliveries: list[DeliveryView]


class AlertPage(BaseModel):
    """What was told, newest first."""

    alerts: list[AlertView]
    next_cursor: str | None
