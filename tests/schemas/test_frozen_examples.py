from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from additive import examples_of
from aiokafka import ConsumerRecord

from schemas import rows, topics
from schemas.events import encode
from schemas.partitioning import partition_of
from schemas.topics import Topic
from streams.metering.reader import Poison, read, read_all
from streams.warehouse.rows import rows_of

PARTITIONS = 8
KEPT_MS = 14 * 86_400_000


def records_of(topic: Topic) -> list[ConsumerRecord]:
    """The topic's examples where Kafka has them: on their organisation's partition, stamped by the broker."""
    return [
        ConsumerRecord(
            topic=topic.name,
            partition=partition_of(org_id, PARTITIONS),
            offset=offset,
            timestamp=example.get("occurred_at_ms", 0) + 7,
            timestamp_type=1,
            key=org_id.encode(),
            value=msgspec.json.encode(example),
            checksum=None,
            serialized_key_size=0,
            serialized_value_size=0,
            headers=(),
        )
        for offset, example in enumerate(examples_of(topic))
        for org_id in [example.get("org_id", "org_1")]
    ]


@pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
def test_an_example_decodes_and_encodes_to_the_same_event(topic: Topic) -> None:
    for example in examples_of(topic):
        event = msgspec.json.decode(msgspec.json.encode(example), type=topic.event)

        assert msgspec.json.decode(encode(event), type=topic.event) == event
        assert encode(event) == msgspec.json.encode(example)


@pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
def test_a_consumer_ignores_what_it_does_not_know_and_refuses_another_version(topic: Topic) -> None:
    example = examples_of(topic)[0]
    newer = msgspec.json.encode({**example, "added_later": [1]})

    assert msgspec.json.decode(newer, type=topic.event)
    with pytest.raises(msgspec.ValidationError, match=r"\$\.v"):
        msgspec.json.decode(msgspec.json.encode({**example, "v": 2}), type=topic.event)


@pytest.mark.parametrize("topic", topics.METERED, ids=lambda topic: topic.name)
def test_the_metering_worker_reads_every_example(topic: Topic) -> None:
    records = records_of(topic)

    reads = read_all(records, PARTITIONS, KEPT_MS)

    pairs = [pair for run in reads.runs.values() for pair in run]
    assert reads.bad == []
    assert [type(event) for event, _ in pairs] + [type(command) for command in reads.commands] == (
        [topic.event] * len(records)
    )
    assert not any(skewed for _, skewed in pairs)


@pytest.mark.parametrize("topic", topics.METERED, ids=lambda topic: topic.name)
def test_the_metering_worker_refuses_an_example_on_a_foreign_partition(topic: Topic) -> None:
    for record in records_of(topic):
        strayed = replace(record, partition=(record.partition + 1) % PARTITIONS)

        with pytest.raises(Poison) as refused:
            read(strayed, PARTITIONS)
        assert refused.value.reason == "wrong_partition"


@pytest.mark.parametrize(
    ("value", "reason"),
    [(None, "empty_value"), (b"", "empty_value"), (b"{", "undecodable"), (b"\xff", "undecodable")],
)
def test_the_metering_worker_names_why_it_refuses(value: bytes | None, reason: str) -> None:
    record = replace(records_of(topics.TOKENS)[0], value=value)

    with pytest.raises(Poison) as refused:
        read(record, PARTITIONS)
    assert refused.value.reason == reason


@pytest.mark.parametrize("field", ["output", "seq", "started_at_ms"])
def test_the_metering_worker_refuses_a_count_below_zero(field: str) -> None:
    [record, *_] = records_of(topics.TOKENS)
    wrong = {**msgspec.json.decode(record.value or b""), field: -1}

    with pytest.raises(Poison) as refused:
        read(replace(record, value=msgspec.json.encode(wrong)), PARTITIONS)
    assert refused.value.reason == "invalid_event"


@pytest.mark.parametrize("topic", topics.STORED, ids=lambda topic: topic.name)
def test_the_warehouse_makes_a_full_row_of_every_example(topic: Topic) -> None:
    records = records_of(topic)

    made, bad = rows_of(records, PARTITIONS)

    assert bad == []
    main = max(made, key=lambda pair: len(pair[1]))
    assert len(main[1]) == len(records)
    for table, its_rows in made:
        for row in its_rows:
            named = dict(zip(table.columns, row, strict=True))
            assert named["_topic"] == topic.name
            assert None not in row


def test_a_ledger_entry_with_a_run_makes_the_runs_row_too() -> None:
    records = records_of(topics.LEDGER)
    usage = examples_of(topics.LEDGER)[0]

    made = {table.name: its_rows for table, its_rows in rows_of(records, PARTITIONS)[0]}

    assert {name: len(its_rows) for name, its_rows in made.items()} == {"ledger": 3, "runs": 1}
    run = dict(zip(rows.RUNS.columns, made["runs"][0], strict=True))
    assert (run["tenant_id"], run["org_id"]) == (usage["tenant_id"], usage["org_id"])
    assert (run["run_id"], run["charged_micro"]) == (usage["run"]["run_id"], -usage["amount_micro"])


def test_a_ledger_entry_without_a_version_gets_the_records_offset() -> None:
    records = records_of(topics.LEDGER)

    made = {table.name: its_rows for table, its_rows in rows_of(records, PARTITIONS)[0]}

    versions = [dict(zip(rows.LEDGER.columns, row, strict=True))["version"] for row in made["ledger"]]
    assert versions == [e.get("version", offset) for offset, e in enumerate(examples_of(topics.LEDGER))]
