"""The shape of credentials: `rm_<kind>_<id>_<random>_<checksum>`.

The id names the key in lists and logs; 160 random bits make it unguessable, so that a plain SHA-256 is a safe
way to store it; the checksum tells a mistyped key from an unknown one, and lets scanners find leaked ones.
"""

from __future__ import annotations

import secrets
import zlib
from dataclasses import dataclass
from hashlib import sha256

from schemas.directory import KeyKind

#: The middle of a credential, by `schemas.directory.KeyKind`.
PREFIXES: dict[KeyKind, str] = {"secret": "sk", "widget": "wk", "mcp": "mcp"}

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"


@dataclass(frozen=True, slots=True)
class MintedKey:
    """A new credential. `key` is shown once; `digest` is what is stored."""

    key_id: str
    key: str
    digest: str


def mint(kind: str) -> MintedKey:
    """Return a new credential of that kind (`sk`, `wk`, `mcp`, `at`)."""
    key_id = _random(10)
    body = f"rm_{kind}_{key_id}_{_random(32)}"
    key = f"{body}_{_checksum(body)}"
    return MintedKey(f"key_{key_id}", key, digest(key))


def parse(key: str) -> MintedKey:
    """Return a credential that was made elsewhere. Raises `ValueError` if the text cannot be one of ours."""
    parts = key.split("_")
    if not is_well_formed(key) or len(parts) != 5:
        raise ValueError("that is no credential of ours")
    return MintedKey(f"key_{parts[2]}", key, digest(key))


def digest(key: str) -> str:
    """Return what a credential is stored and looked up by."""
    return sha256(key.encode()).hexdigest()


def is_well_formed(key: str) -> bool:
    """Return whether the text can be one of our credentials at all."""
    body, _, checksum = key.rpartition("_")
    return (
        body.startswith("rm_")
        and len(key) <= 128
        and secrets.compare_digest(checksum.encode(), _checksum(body).encode())
    )


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"
