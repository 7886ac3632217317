"""What every HTTP service answers the same way: problems, health, metrics."""

from __future__ import annotations

import gc
import logging
from collections.abc import Awaitable, Callable

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from kit import logs, tracing
from kit.keep_alive import KEEP_ALIVE_S
from kit.problems import CONTENT_TYPE, InvalidRequest, NotFound, Problem
from kit.settings import StackSettings, load
from kit.tracing.http import Traced

log = logging.getLogger(__name__)


class MethodNotAllowed(Problem):
    status, code, title = 405, "method_not_allowed", "That method is not allowed here"


#: Returns what is wrong, by part. An empty answer means ready.
Readiness = Callable[[], Awaitable[dict[str, str]]]


def serve(name: str, app: FastAPI, host: str, port: int, *, edge: bool) -> None:
    """Serve until SIGTERM, with logs as JSON lines. `edge`: strangers call, see `tracing.configure`."""
    logs.configure(name, load(StackSettings).log_level)
    if tracing.configure(name, edge=edge):
        app.add_middleware(Traced)
    # A request makes thousands of short-lived objects and hardly a cycle: collect seldom, and what the
    # imports made never again.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    uvicorn.run(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_config=None,
        # Uvicorn would believe what anybody on this machine says of who asks.
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=10,
    )


def problem_response(problem: Problem) -> Response:
    """Return a problem as an HTTP response."""
    return Response(
        problem.encoded(), status_code=problem.status, media_type=CONTENT_TYPE, headers=problem.headers
    )


def install(app: FastAPI, readiness: Readiness) -> None:
    """Add the error handlers and `/healthz`, `/readyz`, `/metrics` to a service."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_unexpected)

    @app.get("/healthz", tags=["operations"])
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["operations"])
    async def readyz() -> Response:
        problems = await readiness()
        body = {"status": "unready" if problems else "ready", "problems": problems}
        return JSONResponse(body, status_code=503 if problems else 200)

    @app.get("/metrics", tags=["operations"], response_class=Response)
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _on_problem(_: Request, error: Exception) -> Response:
    if not isinstance(error, Problem):
        raise TypeError("not a problem") from error
    return problem_response(error)


async def _on_validation(_: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise TypeError("not a validation error") from error
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return problem_response(InvalidRequest(f"{where}: {first['msg']}"))


async def _on_http(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise TypeError("not an HTTP error") from error
    kinds: dict[int, type[Problem]] = {404: NotFound, 405: MethodNotAllowed}
    kind = kinds.get(error.status_code, InvalidRequest)
    return problem_response(kind(str(error.detail), headers=error.headers))


async def _on_unexpected(request: Request, error: Exception) -> Response:
    log.error("unhandled error", exc_info=error, extra={"path": request.url.path})
    return problem_response(Problem("the error was logged; try again, and tell us if it stays"))
