"""An org's credits as numbers for people and for programs."""

from __future__ import annotations

from console_api.counters import Wallet
from console_api.money import credits_of
from console_api.stores import Stores
from console_api.wallet import repository
from console_api.wallet.models import WalletView

AMOUNTS = ("settled", "held", "available", "granted", "charged")


def wire_amounts(wallet: Wallet) -> dict[str, int | str]:
    """Return each amount twice: a decimal string and `<name>_micro`."""
    wire: dict[str, int | str] = {}
    for name in AMOUNTS:
        micro: int = getattr(wallet, name)
        wire[name] = credits_of(micro)
        wire[f"{name}_micro"] = micro
    return wire


async def view(stores: Stores, org_id: str) -> WalletView:
    """Return the org's wallet now. Raises `RedisError`."""
    wallet = await repository.read(stores, org_id)
    return WalletView.model_validate({"org_id": org_id, "read_at_ms": stores.clock(), **wire_amounts(wallet)})
