"""What the control plane tells the data plane, as it stands on Kafka."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Raw, Struct

from schemas.events import EVENT_VERSION, Count, Version

_Key = Annotated[str, Meta(min_length=1, max_length=320)]


class ControlRecord(Struct, frozen=True, kw_only=True):
    """What Redis holds under `key`, to the byte, as of `version` (topic `control.records`).

    Of two records with one key the higher version holds; a price book never changes, and has 0. With a
    `lifetime_ms` it is gone that long after it was written to Redis. `member_of`: a set's key, and what it
    has to hold.
    """

    v: Version = EVENT_VERSION
    key: _Key
    version: Count
    value: Raw
    lifetime_ms: Count = 0
    member_of: tuple[_Key, _Key] | None = None
