-- What was refused. Rows of readable records that were refused stay in the tables of raw events for as long as
-- those do; the log forgets in two weeks that they do not count.

CREATE TABLE dead_letters
(
    topic LowCardinality(String), partition UInt16, offset UInt64, reason LowCardinality(String), detail String,
    worker LowCardinality(String), recorded_at DateTime64(3, 'UTC'),
    _topic LowCardinality(String), _partition UInt16, _offset UInt64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(recorded_at)
ORDER BY (topic, partition, offset)
SETTINGS non_replicated_deduplication_window = 100000;
