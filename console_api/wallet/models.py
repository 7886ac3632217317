"""A wallet on the wire."""

from __future__ import annotations

from pydantic import BaseModel, Field

from console_api.money import Credits, CreditsMicro


class WalletView(BaseModel):
    """An org's credits. `available` is settled less held; `settled` is granted less charged."""

    org_id: str
    settled: Credits = Field(description="Balance after everything metered so far")
    settled_micro: CreditsMicro
    held: Credits = Field(description="Reserved for runs in flight")
    held_micro: CreditsMicro
    available: Credits = Field(description="What new runs may spend")
    available_micro: CreditsMicro
    granted: Credits = Field(description="All credits ever given")
    granted_micro: CreditsMicro
    charged: Credits = Field(description="All credits ever charged")
    charged_micro: CreditsMicro
    read_at_ms: int = Field(description="When these figures were read, Unix ms")
