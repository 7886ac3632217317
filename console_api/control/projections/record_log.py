"""Keeps projections on `control.records`, from which Redis can be filled while the control plane is down."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Raw

from console_api.control.outbox.kafka_sink import KafkaSink
from kit.projections import Write
from kit.settings import KafkaSettings
from schemas.control import ControlRecord
from schemas.events import encode
from schemas.topics import CONTROL_RECORDS

#: What Kafka adds to a record.
_OVERHEAD_BYTES = 1_024


class RecordLog:
    """A `Store` in which each projection's latest state stands. Raises `KafkaError` and `TimeoutError`."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = KafkaSink(kafka)

    async def write(self, writes: Sequence[Write]) -> int:
        await self._kafka.publish([(CONTROL_RECORDS.name, write.key, value_of(write)) for write in writes])
        return len(writes)

    async def close(self) -> None:
        await self._kafka.close()


def value_of(write: Write) -> bytes | None:
    """Return the record's value; `None`, which ends the key, for a key that was revoked long ago.

    Raises `ValueError` for one that Kafka would refuse.
    """
    if write.only_if_there:
        return None
    value = encode(
        ControlRecord(
            key=write.key,
            version=write.version,
            value=Raw(write.value),
            lifetime_ms=write.lifetime_ms,
            member_of=write.member_of,
        )
    )
    if len(value) > CONTROL_RECORDS.max_message_bytes - _OVERHEAD_BYTES:
        raise ValueError(f"a record of {len(value)} bytes is too large for {CONTROL_RECORDS.name}")
    return value
