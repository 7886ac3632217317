"""The page around every tab of an instance: finding it, its heading, the tabs, what to say when it fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastapi.responses import Response
from nicegui import ui

from console.api import ApiError, Missing, SignedOut
from console.calls import instances as calls
from console.calls.instances import Instance
from console.components import states
from console.components.button import link_button
from console.components.connection import connection_badge
from console.components.status import StatusBadge
from console.components.text import Text, box, link
from console.models import LiveWindow
from console.page_at import page_at
from console.pages.frame import frame
from console.pages.instance import branding, channels, connectors, conversations, data, overview, runs, usage
from console.pages.instance.chat import ChatDrawer
from console.pages.instance.context import InstanceContext, instance_path
from console.pages.signed_in import to_sign_in
from console.services import Services
from console.session import HOME_PATH


@dataclass(frozen=True)
class _Tab:
    name: str
    draw: Callable[[InstanceContext], None]
    live: bool = False
    #: Whether it stands among the tabs; if not, Overview leads there.
    listed: bool = True


TABS: dict[str, _Tab] = {
    "overview": _Tab("Overview", overview.draw, live=True),
    "data": _Tab("Data & Training", data.draw),
    "channels": _Tab("Channels", channels.draw),
    "branding": _Tab("Branding", branding.draw),
    "connectors": _Tab("Connectors", connectors.draw),
    "runs": _Tab("Runs", runs.draw),
    "conversations": _Tab("Conversations", conversations.draw, listed=False),
    "usage": _Tab("Usage & limits", usage.draw, live=True),
}


def register(services: Services) -> None:
    """Add the page."""

    @page_at("/account/instances/{instance_id}")
    async def first(instance_id: str) -> Response | None:
        return await _page(services, instance_id, "overview")

    @page_at("/account/instances/{instance_id}/{tab}")
    async def tab(instance_id: str, tab: str) -> Response | None:
        return await _page(services, instance_id, tab)


async def _page(services: Services, instance_id: str, tab: str) -> Response | None:
    if not services.sessions.signed_in():
        return to_sign_in()
    visitor = services.sessions.visitor()
    try:
        if tab not in TABS:
            raise Missing(404, "not_found", "There is no such tab.")
        instance = await calls.instance(visitor, instance_id)
    except SignedOut:
        services.sessions.forget()
        return to_sign_in()
    except Missing:
        with frame(services, "Not found", HOME_PATH):
            _not_found()
        return None
    except ApiError as error:
        with frame(services, "Not available", HOME_PATH):
            states.failed("This instance cannot be shown", error.detail, ui.navigate.reload)
        return None
    config = {"instance": instance_id, "fields": LiveWindow.__struct_fields__}
    with frame(services, f"{instance.name} – {TABS[tab].name}", HOME_PATH, **config):  # noqa: RUF001
        context = InstanceContext(services, visitor, instance)
        _heading(instance, live=TABS[tab].live)
        _tabs(instance_id, tab)
        context.chat = ChatDrawer(context)
        TABS[tab].draw(context)
    return None


def _heading(instance: Instance, *, live: bool) -> None:
    with box("nav", "rm-crumbs").props('aria-label="Breadcrumb"'):
        link("My Instances", HOME_PATH)
        Text("span", "/", "rm-muted").props('aria-hidden="true"')
        Text("span", instance.name).props('aria-current="page"')
    with box("div", "rm-title"):
        with box("div"):
            with box("div", "rm-title__line"):
                Text("h1", instance.name)
                StatusBadge(instance.status)
            Text("p", f"{instance.default_model} · {instance.instance_id}", "rm-muted rm-small rm-mono")
        if live:
            connection_badge()


def _tabs(instance_id: str, here: str) -> None:
    with box("nav", "rm-tabs").props('aria-label="Instance"'):
        for key, tab in TABS.items():
            if not tab.listed:
                continue
            element = link(tab.name, instance_path(instance_id, key))
            if key == here:
                element.props["aria-current"] = "page"


def _not_found() -> None:
    with box("div", "rm-state", testid="not-found"):
        Text("h1", "Instance not found")
        Text("p", "It does not exist, or it belongs to another organisation.")
        link_button("My Instances", HOME_PATH)
