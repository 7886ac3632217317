-- What instances know: chunks of their sources, and which generation of a source is the one that is read.
--
-- A generation is one attempt to index one version of a source. Its chunks are invisible until a row of
-- `knowledge_versions` names it, and gone from sight with the next one: that row is the switch. ORDER BY
-- starts with tenant and instance because every read binds both; then the generation, which it binds too.
-- `terms` are the words of a chunk as `kit.vectors.terms` cuts them, each as often as it stands there.

CREATE TABLE knowledge_chunks
(
    tenant_id LowCardinality(String), instance_id String, source_id String,
    version UInt64, generation String, ordinal UInt32, chunk_id String,
    title String, url String, section String, page UInt32,
    text String, terms Array(String), tokens UInt32,
    model LowCardinality(String), vector Array(Float32),
    recorded_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant_id, instance_id, source_id, generation, ordinal)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE knowledge_versions
(
    tenant_id LowCardinality(String), instance_id String, source_id String,
    version UInt64, generation String, active Bool,
    chunks UInt64, tokens UInt64, pages UInt64, model LowCardinality(String),
    recorded_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant_id, instance_id, source_id, version, generation, active)
SETTINGS non_replicated_deduplication_window = 10000;
