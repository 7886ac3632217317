"""Errors in OpenAI's shape."""

from __future__ import annotations

import msgspec

_TYPES = {429: "requests", 500: "server_error", 503: "server_error"}


class ApiError(Exception):
    """A request that is refused. `code` and `param` are OpenAI's; `retry_ms` asks the client to wait."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_ms: int | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.param = status, code, param
        self.retry_ms, self.close = retry_ms, close

    def body(self) -> bytes:
        """Return `{"error": {"message", "type", "param", "code"}}`."""
        kind = _TYPES.get(self.status, "invalid_request_error")
        error = {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        return msgspec.json.encode({"error": error})

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return what the error adds to a response's headers."""
        found: list[tuple[bytes, bytes]] = []
        if self.retry_ms is not None:
            # The official client prefers the finer one, so that tests without delays retry at once.
            found.append((b"retry-after", b"%d" % -(-self.retry_ms // 1_000)))
            found.append((b"retry-after-ms", b"%d" % self.retry_ms))
        if self.close:
            found.append((b"connection", b"close"))
        return found
