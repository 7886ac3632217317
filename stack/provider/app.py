"""The provider's HTTP interface."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kit import tokens
from stack.provider.completions import Completions, check_key
from stack.provider.errors import ApiError
from stack.provider.order import MODELS
from stack.provider.timing import Pace
from stack.provider.usage_log import UsageLog
from stack.provider.wire import encode

_CREATED = 1_721_172_741  # Unix seconds; any constant does


def create_app(time_scale: float, api_key: str) -> Starlette:
    """Return the provider. `time_scale` multiplies its delays; an empty key lets everyone in."""
    log = UsageLog()
    tokens.encoding_for("")  # loads the vocabulary, so that no request waits for it
    listed = [_model(name) for name in MODELS]

    async def health(_: Request) -> Response:
        return Response(b'{"status":"ok"}', media_type="application/json")

    async def models(request: Request) -> Response:
        check_key(request.headers, api_key)
        return _json({"object": "list", "data": listed})

    async def model(request: Request) -> Response:
        check_key(request.headers, api_key)
        name = request.path_params["name"]
        if name not in MODELS:
            raise ApiError(404, "model_not_found", f"The model '{name[:100]}' does not exist", "model")
        return _json(_model(name))

    async def usage(request: Request) -> Response:
        check_key(request.headers, api_key)
        return _json(log.rows(request.query_params.get("request_id")))

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        return error.response()

    async def no_route(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        detail = f"Invalid URL ({request.method} {request.url.path[:200]})"
        return ApiError(error.status_code, None, detail, headers=error.headers).response()

    async def failed(_: Request, __: Exception) -> Response:
        return ApiError(500, None, "The server had an error while processing your request.").response()

    return Starlette(
        routes=[
            Route("/v1/chat/completions", Completions(Pace(time_scale), api_key, log), methods=["POST"]),
            Route("/healthz", health),
            Route("/v1/models", models),
            Route("/v1/models/{name}", model),
            Route("/admin/usage", usage),
        ],
        exception_handlers={ApiError: refused, HTTPException: no_route, 500: failed},
    )


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "system"}


def _json(value: object) -> Response:
    return Response(encode(value), media_type="application/json")
