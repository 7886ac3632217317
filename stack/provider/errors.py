"""Errors as the OpenAI API reports them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.responses import Response

_KINDS = {429: "requests", 500: "server_error", 503: "server_error"}


class ApiError(Exception):
    """A request that is refused. `status` is HTTP's, `code` and `param` are OpenAI's."""

    def __init__(
        self,
        status: int,
        code: str | None,
        message: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.param, self.headers = status, code, param, headers

    def response(self) -> Response:
        """Return `{"error": {"message", "type", "param", "code"}}`."""
        kind = _KINDS.get(self.status, "invalid_request_error")
        error = {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        return Response(
            msgspec.json.encode({"error": error}), self.status, self.headers, media_type="application/json"
        )
