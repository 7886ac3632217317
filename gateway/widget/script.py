"""The chat widget as one script, joined of its parts in `static/`: no build step, nothing downloaded."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import msgspec

_FOLDER = Path(__file__).with_name("static")
#: In this order: each uses those before it.
_PARTS = ("markdown.js", "memory.js", "gateway.js", "panel.js", "main.js")


@dataclass(frozen=True, slots=True)
class Script:
    """What is sent, plain and compressed, with the entity tag of each."""

    plain: bytes
    zipped: bytes
    plain_tag: str
    zipped_tag: str


def build() -> Script:
    """Return the script. Its parts share one scope of their own and leave no name in the page."""
    style = " ".join((_FOLDER / "style.css").read_text().split())
    parts = [f"const STYLE = {msgspec.json.encode(style).decode()};"]
    parts += [_without_comments((_FOLDER / name).read_text()) for name in _PARTS]
    plain = "\n".join(["(() => {", '"use strict";', *parts, "})();", ""]).encode()
    digest = sha256(plain).hexdigest()[:32]
    # Of two encodings a cache has to see that they differ.
    return Script(plain, gzip.compress(plain, 9, mtime=0), f'"{digest}"', f'"{digest}-gz"')


def _without_comments(source: str) -> str:
    """Return the source without indentation and the lines that are comments. It has no multi-line strings."""
    lines = (line.strip() for line in source.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))
