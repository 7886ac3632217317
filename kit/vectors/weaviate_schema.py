"""What Weaviate is told of our collections, and how it is connected to."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from msgspec.structs import replace
from weaviate import use_async_with_custom
from weaviate.client import WeaviateAsyncClient
from weaviate.collections.classes.config import (
    Configure,
    DataType,
    Property,
    Tokenization,
    VectorDistances,
)
from weaviate.collections.classes.data import DataObject
from weaviate.config import AdditionalConfig, Timeout
from weaviate.exceptions import UnexpectedStatusCodeError

from kit.settings import KnowledgeSettings
from kit.vectors.port import Hit

VERSIONS = "RunmeterKnowledgeVersions"
_CHUNKS = "RunmeterKnowledgeChunks"
_TIMEOUT = Timeout(init=5, query=15, insert=60)


def chunks_of(model: str) -> str:
    """Return the collection of an embedding model's chunks."""
    return f"{_CHUNKS}_{sha256(model.encode()).hexdigest()[:16]}"


def is_chunks(name: str) -> bool:
    return name.startswith(f"{_CHUNKS}_")


def new_client(settings: KnowledgeSettings) -> WeaviateAsyncClient:
    """Return a client that is not connected yet."""
    url = urlsplit(settings.weaviate_url)
    secure, host = url.scheme == "https", url.hostname or "127.0.0.1"
    key = settings.weaviate_api_key.get_secret_value()
    return use_async_with_custom(
        http_host=host,
        http_port=url.port or (443 if secure else 80),
        http_secure=secure,
        grpc_host=host,
        grpc_port=settings.weaviate_grpc_port,
        grpc_secure=secure,
        headers={"Authorization": f"Bearer {key}"} if key else None,
        additional_config=AdditionalConfig(timeout=_TIMEOUT, trust_env=False),
        skip_init_checks=True,
    )


async def make(client: WeaviateAsyncClient, name: str) -> None:
    """Create a collection unless it is there."""
    if await client.collections.exists(name):
        return
    try:
        await client.collections.create(
            name,
            properties=_VERSIONS if name == VERSIONS else _CHUNK,
            multi_tenancy_config=Configure.multi_tenancy(
                enabled=True, auto_tenant_creation=True, auto_tenant_activation=True
            ),
            # Flat: an instance has thousands of chunks, and reading all of them misses none.
            vector_config=Configure.Vectors.self_provided(
                vector_index_config=Configure.VectorIndex.flat(distance_metric=VectorDistances.COSINE)
            ),
        )
    except UnexpectedStatusCodeError:
        # Somebody else made it in between.
        if not await client.collections.exists(name):
            raise


def chunk_object(uuid: str, properties: dict[str, Any], vector: Sequence[float]) -> DataObject[Any, Any]:
    return DataObject(uuid=uuid, properties=properties, vector=list(vector))


def row_object(uuid: str, properties: dict[str, Any]) -> DataObject[Any, Any]:
    return DataObject(uuid=uuid, properties=properties)


def with_score(hit: Hit, score: float) -> Hit:
    return replace(hit, score=score)


def _text(name: str, *, found: bool = False, searched: bool = False) -> Property:
    """Return a text: `found` by all of it, `searched` for its words, or only shown."""
    return Property(
        name=name,
        data_type=DataType.TEXT,
        tokenization=Tokenization.WHITESPACE if searched else Tokenization.FIELD,
        index_filterable=found,
        index_searchable=searched,
    )


def _number(name: str) -> Property:
    return Property(name=name, data_type=DataType.INT, index_filterable=True)


_SOURCE = [_text("source_id", found=True), _number("version"), _text("generation", found=True)]
_CHUNK = [
    *_SOURCE,
    *(_number("ordinal"), _text("chunk_id"), _text("title"), _text("url"), _text("section")),
    *(_number("page"), _text("text"), _text("terms", searched=True), _number("tokens")),
]
_VERSIONS = [
    *_SOURCE,
    Property(name="active", data_type=DataType.BOOL, index_filterable=True),
    *(_number("chunks"), _number("tokens"), _number("pages"), _text("model")),
    Property(name="recorded_at", data_type=DataType.DATE, index_filterable=False),
]
