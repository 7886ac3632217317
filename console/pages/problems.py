"""What a visitor sees where there is no page, or a page broke: the frame, a sentence, a way on."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import Response
from nicegui import app
from nicegui.client import Client
from nicegui.page import page
from starlette.exceptions import HTTPException

from console.components.text import Text, box
from console.pages.frame import frame
from console.services import Services
from console.session import HOME_PATH


def register(services: Services) -> None:
    """Replace NiceGUI's own error pages."""

    @app.exception_handler(404)
    async def no_such_page(request: Request, _: HTTPException) -> Response:
        with Client(page(""), request=request) as client:
            _draw(services, "Page not found", "There is nothing at this address.")
        return client.build_response(request, 404)

    @app.on_page_exception
    def broken_page() -> None:
        _draw(services, "Something went wrong", "The error was logged. Try again in a moment.")


def _draw(services: Services, title: str, detail: str) -> None:

    with frame(services, title), box("div", "rm-state", testid="problem"):
        Text("h1", title)
        Text("p", detail)
        with box("a", "rm-button").props(f'href="{HOME_PATH}"'):
            Text("span", "My Instances")
