"""What services show each other: the first token is sent, all of them open."""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest

_MIN_CHARS = 32


class ServiceTokens:
    """The tokens that one setting names, comma-separated. `variable` is what its mistakes are told by."""

    def __init__(self, named: str, variable: str) -> None:
        """Raises `SystemExit` with the remedy for none at all, or for one that is short."""
        tokens = [token.strip() for token in named.split(",") if token.strip()]
        if not tokens or any(len(token) < _MIN_CHARS or not token.isascii() for token in tokens):
            raise SystemExit(
                f"invalid settings: {variable}: give tokens of at least {_MIN_CHARS} random characters each, "
                "comma-separated, the same to whoever sends them; the first is sent, all open"
            )
        self.header = {"Authorization": f"Bearer {tokens[0]}"}
        self._opening = [_digest(f"Bearer {token}".encode()) for token in tokens]

    def opens(self, authorization: bytes) -> bool:
        """Return whether that `Authorization` header carries one of the tokens."""
        # Of digests, so that neither the time nor the length says anything.
        shown = _digest(authorization)
        return any(compare_digest(shown, known) for known in self._opening)


def _digest(text: bytes) -> bytes:
    return sha256(text).digest()
