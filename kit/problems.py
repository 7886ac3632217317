"""Errors as RFC 9457 problem details: a stable `code`, what went wrong, and the remedy."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

CONTENT_TYPE = "application/problem+json"


class Problem(Exception):
    """An error that a client is told about. Subclasses fix `status`, `code` and `title`."""

    status = 500
    code = "internal_error"
    title = "Something went wrong on our side"

    def __init__(
        self, detail: str = "", *, headers: Mapping[str, str] | None = None, **extra: object
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.headers = dict(headers or {})
        self.extra = extra

    def body(self) -> dict[str, object]:
        """Return the problem object; `extra` members (e.g. `allowed`) stand beside the standard ones."""
        return {
            "type": f"urn:runmeter:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            **self.extra,
        }

    def encoded(self) -> bytes:
        return msgspec.json.encode(self.body())


class Unauthorized(Problem):
    status, code, title = 401, "unauthorized", "Missing or invalid credentials"


class Forbidden(Problem):
    status, code, title = 403, "forbidden", "These credentials do not allow that"


class NotFound(Problem):
    status, code, title = 404, "not_found", "There is no such thing"


class BodyTooLarge(Problem):
    status, code, title = 413, "body_too_large", "The request body is too large"


class InvalidRequest(Problem):
    status, code, title = 422, "invalid_request", "The request is not valid"


class TooManyRequests(Problem):
    status, code, title = 429, "rate_limited", "Too many requests"


class Unavailable(Problem):
    status, code, title = 503, "unavailable", "A part of the service is away; try again"
