"""Deliveries inside, on the wire, and what their sender is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.payments.port import Fact, Outcome
from kit.problems import Problem

#: `received`: kept to be told again, because what it is about is not known yet.
Status = Literal["received", "applied", "ignored", "failed"]

#: What a sender may post here; the rest of the API takes less.
MAX_BODY_BYTES = 262_144


class Told(Struct, frozen=True, kw_only=True):
    """A webhook whose signature was verified. `event_id` is the same for every repeat of it."""

    event_id: str
    kind: str
    payload: str


class Source(Protocol):
    """An adapter of one provider."""

    name: str
    #: Whose operators see what it delivers; empty: nobody's, because it delivers for several tenants.
    tenant_id: str

    async def verified(self, headers: Mapping[str, str], body: bytes) -> Told:
        """Return what was told. Raises `BadSignature`, or `port.Unavailable` if it cannot tell yet."""

    async def facts(self, told: Told) -> Sequence[Fact]:
        """Return what it means; nothing, if it does not concern us.

        Raises `port.Unavailable` while the provider cannot be asked, and anything else for a payload that
        is not what it should be.
        """


class Apply(Protocol):
    """What consumes facts (`orders.service.apply`), in the caller's transaction."""

    async def __call__(self, session: AsyncSession, fact: Fact, *, now_ms: int) -> Outcome: ...


class BadSignature(Problem):
    """Said without details: whoever gets it is not the provider, or has the wrong secret."""

    status, code, title = 400, "invalid_signature", "This delivery is not signed by the provider"


class NotApplied(Problem):
    """A fault of ours; the delivery is in the log, and a repeat is tried again."""

    status, code, title = 500, "delivery_failed", "The delivery could not be applied"


class DeliveryView(BaseModel):
    """One delivery in the log. Its payload is not shown, because it names the buyer."""

    provider: str
    event_id: str
    kind: str = Field(description="The provider's name for what happened")
    status: Status
    error: str = Field(description="Why it failed, or waits")
    has_payload: bool = Field(description="Whether it can still be replayed")
    received_at_ms: int
    applied_at_ms: int = Field(description="0 until it was applied or ignored")


class DeliveryPage(BaseModel):
    """One page of deliveries, newest first."""

    deliveries: list[DeliveryView]
    next_cursor: str | None
