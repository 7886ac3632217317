"""Sealing credentials with rotatable Fernet keys: the first seals, all of them open.

The control plane seals; whoever is told a sealed box and has the same keys (`RUNMETER_SECRETS_KEYS`) opens
it.
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from msgspec import Struct

from kit.clock import new_id
from kit.settings import SecretsSettings

_REMEDY = (
    "invalid settings: RUNMETER_SECRETS_KEYS: give Fernet keys (32 bytes, URL-safe base64), comma-separated"
)


class CannotOpen(Exception):
    """A secret was sealed with a key that is not there any more, or its row was tampered with."""


class _Sealed(Struct, frozen=True):
    """What is encrypted: the value with the name of its row, so that no row can take another's place."""

    secret_id: str
    value: str


class Seal:
    """Seals and opens values. `fingerprint` names the key that it seals with."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            raise SystemExit(_REMEDY) from None
        self.fingerprint = sha256(keys[0].encode()).hexdigest()[:16]

    def close(self, secret_id: str, value: str) -> bytes:
        """Return the value, sealed for that row."""
        return self._fernet.encrypt(msgspec.json.encode(_Sealed(secret_id, value)))

    def open(self, secret_id: str, sealed: bytes) -> str:
        """Return the value. Raises `CannotOpen`."""
        try:
            content = msgspec.json.decode(self._fernet.decrypt(sealed), type=_Sealed)
        except InvalidToken:
            raise CannotOpen(
                f"secret {secret_id} needs a key that RUNMETER_SECRETS_KEYS no longer has: add it at the end"
            ) from None
        if content.secret_id != secret_id:
            raise CannotOpen(f"secret {secret_id} holds what was sealed for another row")
        return content.value


def load_seal(settings: SecretsSettings, data_dir: Path) -> Seal:
    """Return the seal of the settings. Raises `SystemExit` with the remedy for keys that are none."""
    named = tuple(key.strip() for key in settings.keys.get_secret_value().split(",") if key.strip())
    return Seal(named or (_own_key(data_dir / "secrets.key"),))


def _own_key(path: Path) -> str:
    """Return the key of the data folder, made on first use and readable by its owner only."""
    if path.exists():
        return path.read_text().strip()
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(new_id(f".{path.name}"))
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(Fernet.generate_key())
        file.flush()
        os.fsync(file.fileno())
    try:
        # Of several processes that start at once, one key wins, and is whole when it is seen.
        os.link(made, path)
    except FileExistsError:
        pass
    finally:
        made.unlink()
    return path.read_text().strip()
