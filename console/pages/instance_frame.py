"""What every page of one instance has in common: finding it, its heading, and what to say when it fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi.responses import RedirectResponse, Response
from nicegui import ui

from console.api import ApiError, Missing, SignedOut
from console.components import states
from console.components.status import StatusBadge
from console.components.text import Text, box
from console.models import Instance
from console.pages.frame import frame
from console.services import Services
from console.session import HOME_PATH, SIGN_IN_PATH

#: Draws the page's own part, given the visitor's token and the instance.
Draw = Callable[[str, Instance], Awaitable[None] | None]


async def instance_page(
    services: Services, instance_id: str, draw: Draw, badge: Callable[[], None]
) -> Response | None:
    """Draw a page of an instance; `badge` stands at the right of its heading."""
    token = services.sessions.token()
    if token is None:
        return RedirectResponse(SIGN_IN_PATH)
    try:
        instance = await services.api.instance(token, instance_id)
    except SignedOut:
        services.sessions.sign_out()
        return RedirectResponse(SIGN_IN_PATH)
    except Missing:
        with frame(services, "Not found"):
            _not_found()
        return None
    except ApiError as error:
        with frame(services, "Not available"):
            states.failed("This instance cannot be shown", error.detail, ui.navigate.reload)
        return None
    with frame(services, instance.name):
        _heading(instance, badge)
        drawing = draw(token, instance)
        if drawing is not None:
            await drawing
    return None


def _heading(instance: Instance, badge: Callable[[], None]) -> None:
    with box("nav", "rm-crumbs").props('aria-label="Breadcrumb"'):
        with box("a").props(f'href="{HOME_PATH}"'):
            Text("span", "My Instances")
        Text("span", "/", "rm-muted").props('aria-hidden="true"')
        Text("span", instance.name).props('aria-current="page"')
    with box("div", "rm-title"):
        with box("div"):
            with box("div", "rm-title__line"):
                Text("h1", instance.name)
                StatusBadge(instance.status)
            Text("p", f"{instance.default_model} · {instance.instance_id}", "rm-muted rm-small rm-mono")
        badge()


def _not_found() -> None:
    with box("div", "rm-state", testid="not-found"):
        Text("h1", "Instance not found")
        Text("p", "It does not exist, or it belongs to another organisation.")
        with box("a", "rm-button").props(f'href="{HOME_PATH}"'):
            Text("span", "My Instances")
