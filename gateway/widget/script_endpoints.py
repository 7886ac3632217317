"""`GET /widget.js`: what pages embed. It is the same for all of them; the key makes the difference."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from gateway.widget import script

router = APIRouter()

_SCRIPT = script.build()
_HEADERS = {
    "Cache-Control": "public, max-age=3600, stale-while-revalidate=86400",
    # Any page may embed it: isolated ones (COEP) too, and with `integrity` and `crossorigin`.
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Access-Control-Allow-Origin": "*",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept-Encoding",
}
_OPENAPI: dict[str, Any] = {
    "summary": "The chat widget's script",
    "description": 'Embed it with `<script src="https://…/widget.js" data-key="rm_wk_…" async></script>`, '
    "on a page whose origin the key names.",
    "tags": ["widget"],
    "responses": {
        200: {
            "description": "The script.",
            "headers": {"ETag": {"schema": {"type": "string"}}},
            "content": {"text/javascript": {"schema": {"type": "string"}, "example": "(() => { … })();"}},
        },
        304: {"description": "The copy whose tag `If-None-Match` names is still the latest."},
    },
    "openapi_extra": {
        "parameters": [
            {
                "name": "If-None-Match",
                "in": "header",
                "required": False,
                "schema": {"type": "string"},
                "description": "The `ETag` of the copy at hand.",
            }
        ]
    },
}


@router.get("/widget.js", response_class=Response, **_OPENAPI)
@router.head("/widget.js", include_in_schema=False)
async def widget_script(request: Request) -> Response:
    zipped = "gzip" in request.headers.get("accept-encoding", "")
    body, tag = (_SCRIPT.zipped, _SCRIPT.zipped_tag) if zipped else (_SCRIPT.plain, _SCRIPT.plain_tag)
    headers = {**_HEADERS, "ETag": tag}
    if _names(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    if zipped:
        headers["Content-Encoding"] = "gzip"
    return Response(body, media_type="text/javascript", headers=headers)


def _names(if_none_match: str, tag: str) -> bool:
    """Return whether the header names that tag, weakly compared (RFC 9110, 13.1.2)."""
    named = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return tag in named or named == ["*"]
