"""How far a destination is: the group's committed offset of a partition, and what its metadata tells.

So progress has one home, which the group's coordinator guards: a worker that lost a partition cannot write
there, and anyone may read it.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

_MARK = "v1;"
_MAX_ERROR = 300


class Progress(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of one partition of one destination beside the next offset to deliver."""

    #: The last offset of the batch that is being delivered from the committed offset on; -1: none is.
    last: int = -1
    #: When that batch may have arrived first.
    since_ms: int = 0
    failing: bool = False
    error: str = ""
    error_at_ms: int = 0
    delivered: int = 0
    refused: int = 0

    def encode(self) -> str:
        """Return the commit's metadata, which Kafka wants to be shorter than 4,096 bytes."""
        return _MARK + msgspec.json.encode(self).decode("utf-8")


def decode(metadata: str) -> Progress:
    """Return what a commit's metadata tells; nothing, if somebody else wrote it."""
    if not metadata.startswith(_MARK):
        return Progress()
    return msgspec.json.decode(metadata.removeprefix(_MARK), type=Progress)


def shown(error: str) -> str:
    """Return an error's text, bounded and on one line."""
    return " ".join(error.split())[:_MAX_ERROR]
