"""What instances know, by meaning and by word: one port, on ClickHouse or on Weaviate.

Owns: which generation of a source is read, and how hits are ranked. Does not own: how text becomes chunks and
vectors (`kit.embeddings`).
"""

from __future__ import annotations

from kit.settings import ClickHouseSettings, KnowledgeSettings
from kit.vectors.clickhouse import ClickHouseVectors
from kit.vectors.port import VectorStore


def connect(knowledge: KnowledgeSettings, clickhouse: ClickHouseSettings) -> VectorStore:
    """Return the store of the settings; it is connected to when it is first needed."""
    if knowledge.store == "weaviate":
        # Its client takes a second to import.
        from kit.vectors.weaviate import WeaviateVectors  # noqa: PLC0415

        return WeaviateVectors(knowledge)
    return ClickHouseVectors(clickhouse)
