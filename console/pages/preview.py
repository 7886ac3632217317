"""`/preview/widget/{id}`: a page with nothing on it but the gateway's widget, framed by Channels."""

from __future__ import annotations

from html import escape

from fastapi.responses import HTMLResponse
from nicegui import app

from console import session_keys
from console.pages.instance import snippets
from console.services import Services

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Preview</title>
<style>body{{margin:0;font:15px system-ui,sans-serif;color:#566072;padding:24px}}</style></head>
<body>{body}</body></html>"""


def register(services: Services) -> None:
    """Add the page."""

    @app.get("/preview/widget/{instance_id}", include_in_schema=False)
    def preview(instance_id: str, org: str | None = None) -> HTMLResponse:
        if not services.sessions.signed_in():
            return HTMLResponse(_PAGE.format(body="Sign in to see the preview."), 401)
        kept = session_keys.kept(services.sessions.visitor(org), instance_id, session_keys.PREVIEW)
        if not kept:
            return HTMLResponse(_PAGE.format(body="The preview has ended. Open it again on Channels."), 404)
        return HTMLResponse(_PAGE.format(body=snippets.widget(escape(services.gateway_url), escape(kept))))
