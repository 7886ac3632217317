"""The providers that orders can be paid through."""

from __future__ import annotations

from collections.abc import Mapping

from console_api.payments.dummy import OfflineProvider
from console_api.payments.port import Provider
from kit.problems import InvalidRequest

#: Who is not a business of their own: what happens there, only we know.
OFFLINE = ("manual", "dummy")


class Providers:
    """By name. `manual` is always there; `dummy` and Stripe where the settings say so."""

    def __init__(self, *, dummy: bool, stripe: Provider | None) -> None:
        known: list[Provider] = [OfflineProvider("manual")]
        known += [OfflineProvider("dummy")] if dummy else []
        known += [stripe] if stripe is not None else []
        self._known: Mapping[str, Provider] = {provider.name: provider for provider in known}

    @property
    def names(self) -> list[str]:
        return list(self._known)

    def get(self, name: str) -> Provider:
        """Return a provider. Raises `InvalidRequest` naming those that there are."""
        provider = self._known.get(name)
        if provider is None:
            raise InvalidRequest(f"{name!r} takes no payments here.", allowed=self.names)
        return provider
