"""Every error as an RFC 9457 problem: no stack trace, no HTML, always a remedy."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.types import Send

from kit.problems import CONTENT_TYPE, InvalidRequest, NotFound, Problem, Unavailable

log = logging.getLogger(__name__)


class MethodNotAllowed(Problem):
    status, code, title = 405, "method_not_allowed", "This resource does not support that method"


class CountersAway(Unavailable):
    """Redis cannot answer now."""

    code, title = "counters_unavailable", "Live figures are not available right now"


def counters_away() -> CountersAway:
    """Return the problem a client sees while Redis is away."""
    return CountersAway("Try again in a few seconds.", headers={"Retry-After": "2"}, store="redis")


def answer(problem: Problem) -> Response:
    """Return the problem as a response."""
    return Response(problem.encoded(), problem.status, problem.headers, media_type=CONTENT_TYPE)


async def send_problem(send: Send, problem: Problem) -> None:
    """Answer with the problem from a middleware, before or without a request object."""
    body = problem.encoded()
    headers = [(b"content-type", CONTENT_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def install(app: FastAPI) -> None:
    """Register a handler for every error an endpoint foresees; `edge` answers the rest."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RedisError, _redis)


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return answer(error)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"where": ".".join(str(part) for part in item["loc"]), "message": item["msg"]}
        for item in error.errors()
    ]
    detail = "; ".join(f"{item['where']}: {item['message']}" for item in errors)
    return answer(InvalidRequest(detail, errors=errors))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return answer(NotFound(f"No such path: {request.url.path}. The paths are listed in /openapi.json."))
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "GET")
        return answer(MethodNotAllowed(f"Use {allowed}.", headers={"Allow": allowed}))
    problem = Problem(str(error.detail), headers=error.headers)
    problem.status, problem.code, problem.title = error.status_code, "http_error", "The request failed"
    return answer(problem)


async def _redis(_: Request, error: Exception) -> Response:
    log.warning("counter read failed", extra={"error": repr(error)})
    return answer(counters_away())
