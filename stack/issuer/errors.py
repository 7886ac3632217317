"""Errors as RFC 6749 has them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.responses import Response


class OAuthError(Exception):
    """A request that is refused. `code` is OAuth's, the message says what to do about it."""

    def __init__(
        self, code: str, message: str, *, status: int = 400, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.code, self.status, self.headers = code, status, dict(headers or {})

    def response(self) -> Response:
        """Return `{"error", "error_description"}`."""
        body = msgspec.json.encode({"error": self.code, "error_description": str(self)})
        return Response(body, self.status, self.headers, media_type="application/json")


class SentBack(Exception):
    """An authorization request that is refused at its own address, which is known to be the client's."""

    def __init__(self, code: str, message: str, redirect_uri: str, state: str) -> None:
        super().__init__(message)
        self.code, self.redirect_uri, self.state = code, redirect_uri, state
