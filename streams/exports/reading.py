"""Records of the topic → items of a destination's tenants, and what is no record."""

from __future__ import annotations

from collections.abc import Container, Sequence

import msgspec
from aiokafka import ConsumerRecord

from schemas.billing import BillingRecord
from streams.exports.port import Item

_decode = msgspec.json.Decoder(BillingRecord).decode


def items_of(
    records: Sequence[ConsumerRecord], tenants: Container[str]
) -> tuple[list[Item], list[tuple[ConsumerRecord, str]]]:
    """Return the records of these tenants (all, if none is named), and what cannot be read, with why."""
    items: list[Item] = []
    bad: list[tuple[ConsumerRecord, str]] = []
    for source in records:
        try:
            record = _decode(source.value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            bad.append((source, str(error)))
            continue
        if not tenants or record.tenant_id in tenants:
            items.append(Item(source.offset, record, source.value))
    return items, bad
