"""Health: why an instance does not run, or not as it should, and where that is mended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TypeVar

from msgspec import Struct

from console.api import ApiError, NotOffered
from console.calls import connectors, instances, knowledge, shop
from console.calls.connectors import ConnectorList
from console.calls.instances import Instance, Suspension
from console.calls.knowledge import SourcePage
from console.calls.shop import Subscription
from console.components.button import link_button
from console.components.loaded import Loaded
from console.components.status import StatusBadge
from console.components.text import Text, box
from console.pages.instance.context import InstanceContext

Value = TypeVar("Value")

_EVERY_S = 30.0
_ORDERS = "/account/orders"
_SUSPENDED: dict[Suspension, str] = {
    "payment": "Its payment is missing. It runs again as soon as that has arrived.",
    "dispute": "Its payment is disputed. It runs again when the dispute is settled for the seller.",
    "operator": "Whoever runs this service suspended it. Ask them what it takes.",
}
#: So many names; of further ones only how many.
_NAMED = 3


class Trouble(Struct, frozen=True):
    """Something that is wrong, and where it is mended; `href` empty: not in the console."""

    title: str
    remedy: str
    action: str = ""
    href: str = ""


def health(context: InstanceContext) -> None:
    """Draw what is wrong, or that all is well; it looks again by itself."""

    async def load() -> tuple[Trouble, ...]:
        return await _troubles(context)

    with box("section", "rm-card", testid="health").props('aria-labelledby="health"'):
        Text("h2", "Health", "rm-card__title rm-spaced").props('id="health"')
        Loaded(load, _draw, "health", count=1, every_s=_EVERY_S)


def _draw(troubles: tuple[Trouble, ...]) -> None:
    if not troubles:
        StatusBadge("well", testid="all-is-well")
        return
    with box("div", "rm-stack rm-stack--tight"):
        for trouble in troubles:
            with box("div", "rm-note rm-note--warn", testid="trouble"):
                with box("div", "rm-grow"):
                    Text("strong", trouble.title)
                    Text("p", trouble.remedy, "rm-small")
                if trouble.href:
                    link_button(trouble.action, trouble.href, look="secondary", small=True)


async def _troubles(context: InstanceContext) -> tuple[Trouble, ...]:
    visitor, instance_id = context.visitor, context.instance_id
    instance, bought, known, connected = await asyncio.gather(
        instances.instance(visitor, instance_id),
        shop.subscriptions(visitor),
        knowledge.sources(visitor, instance_id),
        connectors.connectors(visitor, instance_id),
        return_exceptions=True,
    )
    unknown: list[Trouble] = []
    subscriptions = _found(bought, "The subscription", unknown) or ()
    own = [one for one in subscriptions if one.instance_id == instance_id]
    return (
        *_standing(_found(instance, "The instance", unknown), own),
        *_sources(_found(known, "Knowledge", unknown), context.path("data")),
        *_connectors(_found(connected, "Connectors", unknown), context.path("connectors")),
        *unknown,
    )


def _found(answer: Value | BaseException, what: str, unknown: list[Trouble]) -> Value | None:
    """Return what was answered. What this server has not got is not wrong; what it cannot say may be."""
    if not isinstance(answer, BaseException):
        return answer
    if not isinstance(answer, ApiError) or answer.status == 401:
        raise answer
    if not isinstance(answer, NotOffered):
        unknown.append(Trouble(f"{what} cannot be looked at right now", answer.detail))
    return None


def _standing(instance: Instance | None, own: Sequence[Subscription]) -> Iterable[Trouble]:
    """Say what is wrong with the instance itself, and with what pays for it."""
    if instance is not None and instance.status == "ended":
        yield Trouble("The instance has ended", "Buy a new one to go on.", "Buy", "/account/buy")
    elif instance is not None and instance.status == "suspended":
        reasons = instance.suspended_for or ("operator",)
        why = " ".join(_SUSPENDED[reason] for reason in reasons)
        money = reasons != ("operator",)
        title = "The instance is suspended: it answers nobody"
        yield Trouble(title, why, "Orders & billing" if money else "", _ORDERS if money else "")
    elif any(one.status == "past_due" for one in own):
        why = "The instance is suspended if it does not arrive in time."
        yield Trouble("A payment for this instance is missing", why, "Orders & billing", _ORDERS)


def _sources(page: SourcePage | None, href: str) -> Iterable[Trouble]:
    failed = [one.title or one.url for one in page.sources if one.status == "failed"] if page else []
    if failed:
        counted = "A source" if len(failed) == 1 else f"{len(failed)} sources"
        yield Trouble(f"{counted} could not be read", _names(failed), "Data & Training", href)


def _connectors(found: ConnectorList | None, href: str) -> Iterable[Trouble]:
    failed = [
        one.name
        for one in (found.connectors if found else ())
        if one.enabled and one.last_test is not None and not one.last_test.passed
    ]
    if failed:
        counted = "A connector" if len(failed) == 1 else f"{len(failed)} connectors"
        yield Trouble(f"{counted} failed the last test", _names(failed), "Connectors", href)


def _names(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
