"""The one password of all development users."""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256
from pathlib import Path

from kit.settings import IssuerSettings
from stack.issuer import private_file

MAX_CHARS = 256


def path(data_dir: Path) -> Path:
    """Return where a password that was made up is kept."""
    return data_dir / "issuer" / "password"


def of(settings: IssuerSettings, data_dir: Path) -> str:
    """Return the settings' password, else the data folder's, made on first use."""
    named = settings.password.get_secret_value()
    if len(named) > MAX_CHARS:
        raise SystemExit(f"invalid settings: RUNMETER_ISSUER_PASSWORD: give at most {MAX_CHARS} characters")
    return named or _own(path(data_dir))


def is_right(given: str, password: str) -> bool:
    """Compare in a time that tells neither length nor content."""
    return hmac.compare_digest(sha256(given.encode()).digest(), sha256(password.encode()).digest())


def _own(file: Path) -> str:
    private_file.folder(file.parent.parent)
    with private_file.locked(file):
        if not file.exists():
            private_file.write(file, secrets.token_urlsafe(12).encode() + b"\n")
        found = file.read_text().strip()
    if not found:
        raise SystemExit(f"{file} is empty: delete it and start again, or set RUNMETER_ISSUER_PASSWORD")
    return found
