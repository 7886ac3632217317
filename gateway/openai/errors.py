"""Problems as OpenAI's clients read them: `{"error": {"message", "type", "param", "code"}}`.

The official client repeats 408, 409, 429 and 5xx by itself, after `Retry-After`. Where repeating cannot help
it is told so (`x-should-retry`), so that it neither waits in vain nor pays twice.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response

from gateway.answers import Answer
from gateway.errors import (
    IdempotencyConflict,
    InsufficientCredits,
    RateLimited,
    UnknownModel,
)
from gateway.openai.models import ErrorBody, Failed, encode
from kit.hot_routes import PlainRoute
from kit.problems import InvalidRequest, Problem

_NO_RETRY = {"x-should-retry": "false"}
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    409: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}


class UnsupportedParameter(InvalidRequest):
    """`param`: the one that cannot be honoured."""

    code, title = "unsupported_parameter", "That parameter cannot be honoured here"


class OpenAIRoute(PlainRoute):
    """A route whose problems OpenAI's clients understand."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        endpoint = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await endpoint(request)
            except Problem as problem:
                return refused(problem)

        return answer


def refused(problem: Problem) -> Response:
    """Return a problem in OpenAI's form, with OpenAI's status and code where it has one."""
    status, kind, code = _kind(problem)
    param = problem.extra.get("param", "model" if isinstance(problem, UnknownModel) else None)
    failed = Failed(message=problem.detail, type=kind, code=code, param=None if param is None else str(param))
    headers = dict(problem.headers)
    if isinstance(problem, IdempotencyConflict) or (
        isinstance(problem, RateLimited) and "Retry-After" not in headers
    ):
        headers |= _NO_RETRY
    return _response(status, failed, headers)


def _kind(problem: Problem) -> tuple[int, str, str]:
    """Return the status, OpenAI's type and the code."""
    match problem:
        case UnknownModel():
            named = 404, "invalid_request_error", "model_not_found"
        case InvalidRequest():
            named = 400, "invalid_request_error", problem.code
        case InsufficientCredits():
            named = 402, "insufficient_quota", str(problem.extra.get("reason", problem.code))
        case RateLimited():
            named = 429, "rate_limit_error", "rate_limit_exceeded"
        case _:
            named = problem.status, _TYPES.get(problem.status, "server_error"), problem.code
    return named


def not_answered(answer: Answer, headers: dict[str, str], *, repeated: bool) -> Response:
    """Return that a run ended without a whole answer; what it used is metered all the same."""
    status, failed = failure(answer)
    headers = {**headers, "X-Run-Id": answer.run_id}
    if status < 500 or repeated:
        # Repeated with its Idempotency-Key it would only be the same run again.
        headers |= _NO_RETRY
    return _response(status, failed, headers)


def failure(answer: Answer) -> tuple[int, Failed]:
    """Return the status and the error of a run that ended without a whole answer."""
    error = answer.error
    code, detail = (error.code, error.detail) if error is not None else (answer.status, "the run ended early")
    message = f"{detail or code} (run {answer.run_id})"
    if answer.status == "limit_exceeded":
        return 402, Failed(message=message, type="insufficient_quota", code=code)
    if answer.status == "cancelled":
        status = 503 if code == "gateway_shutdown" else 409
        return status, Failed(message=message, type="cancelled", code=code)
    return 502, Failed(message=message, type="server_error", code=code)


def _response(status: int, failed: Failed, headers: dict[str, str]) -> Response:
    return Response(
        encode(ErrorBody(error=failed)), status_code=status, media_type="application/json", headers=headers
    )
