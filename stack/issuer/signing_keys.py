"""The keys that tokens are signed with (ES256), in `<data>/issuer/keys.json`.

The first signs. Of those before it only the public part is kept, so that what they signed still verifies; a
running issuer takes a rotation up by itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet
from msgspec import Struct

from stack.issuer import private_file

ALGORITHM = "ES256"
#: The one that signs, and those of the last rotations.
_MAX_KEYS = 4
_MAX_TOKEN_CHARS = 8_192


class _File(Struct, frozen=True):
    keys: list[dict[str, Any]]


class SigningKeys:
    """The keys of a data folder, made on first use. Raises `SystemExit` for a file that holds none."""

    def __init__(self, data_dir: Path) -> None:
        self._path = private_file.folder(data_dir) / "keys.json"
        with private_file.locked(self._path):
            if not self._path.exists():
                self._write([_new()])
        self._seen = (0, 0)
        self._load()

    def sign(self, claims: Struct) -> str:
        """Return claims as a signed token."""
        self._refresh()
        header = {"typ": "JWT", "alg": ALGORITHM, "kid": self._signing.kid}
        payload = msgspec.json.encode(claims)
        return jws.serialize_compact(header, payload, self._signing, algorithms=[ALGORITHM])

    def verified(self, token: str) -> bytes:
        """Return the claims of a token that one of the keys signed, expired or not. Raises `ValueError`."""
        self._refresh()
        if len(token) > _MAX_TOKEN_CHARS or not token.isascii():
            raise ValueError("not a token")
        try:
            return jws.deserialize_compact(token, self._all, algorithms=[ALGORITHM]).payload
        except JoseError as error:
            raise ValueError("not a token of this issuer") from error

    def public(self) -> dict[str, Any]:
        """Return the JSON Web Key Set."""
        self._refresh()
        return {"keys": [key.as_dict(private=False) for key in self._all.keys]}

    def rotate(self) -> str:
        """Sign with a new key from now on; return its id."""
        with private_file.locked(self._path):
            kept = msgspec.json.decode(self._path.read_bytes(), type=_File).keys
            public = [ECKey.import_key(key).as_dict(private=False) for key in kept]
            self._write([_new(), *public][:_MAX_KEYS])
        self._refresh()
        return str(self._signing.kid)

    def _write(self, keys: list[dict[str, Any]]) -> None:
        private_file.write(self._path, msgspec.json.encode(_File(keys)))

    def _refresh(self) -> None:
        if self._stamp() != self._seen:
            self._load()

    def _load(self) -> None:
        stamp = self._stamp()
        try:
            keys = msgspec.json.decode(self._path.read_bytes(), type=_File).keys
            imported = [ECKey.import_key(key) for key in keys]
            if not imported or not imported[0].is_private:
                raise ValueError("the first key cannot sign")
        except (JoseError, msgspec.DecodeError, ValueError) as error:
            raise SystemExit(
                f"{self._path} holds no signing key ({error}): delete it for a new one"
            ) from None
        self._signing, self._all, self._seen = imported[0], KeySet([*imported]), stamp

    def _stamp(self) -> tuple[int, int]:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_ino


def _new() -> dict[str, Any]:
    key = ECKey.generate_key("P-256", {"use": "sig", "alg": ALGORITHM})
    return {**key.as_dict(private=True), "kid": key.thumbprint()}
