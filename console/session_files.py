"""The directory of sessions: the secret that signs their cookies, and a file for each that holds any."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

#: For how long a browser keeps its cookie. Every answer renews it.
COOKIE_S = 14 * 86_400
#: A session writes down once a day that it is used, so that its file may be a day older than its cookie.
_KEPT_S = COOKIE_S + 2 * 86_400


def session_secret(sessions_dir: Path) -> str:
    """Return the secret that signs session cookies; it is made once, readable by this user only."""
    path = sessions_dir / "secret"
    if not path.exists():
        sessions_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
    return path.read_text()


def forget_ended(sessions_dir: Path) -> int:
    """Delete the files of sessions whose cookies have ended: they hold tokens. Return how many there were."""
    before, ended = time.time() - _KEPT_S, 0
    for path in sessions_dir.glob("storage-user-*.json*"):
        try:
            if path.stat().st_mtime < before:
                path.unlink()
                ended += 1
        except FileNotFoundError:
            continue  # its session ended by itself
    return ended
