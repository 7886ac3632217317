"""Texts → vectors. One model writes and reads: vectors of two models cannot be compared."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import msgspec
from msgspec import Struct

from kit import tokens
from kit.settings import EmbeddingSettings

#: What `TokenEvent` and the chunks call the model that comes with the product.
LOCAL_MODEL = "wordllama-l2-256"
_MAX_ANSWER = 67_108_864


class EmbeddingAway(Exception):
    """The model cannot answer now; try again."""


class EmbeddingRefused(Exception):
    """The model refuses these texts, or us; the same again would be refused too."""


class Embedded(Struct, frozen=True):
    """Vectors of length 1, in the order of their texts, and the tokens that they took."""

    vectors: list[list[float]]
    tokens: int


class Embedder(Protocol):
    """A model that embeds."""

    model: str
    batch_texts: int

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """Embed at most `batch_texts` texts. Raises `EmbeddingAway`, `EmbeddingRefused`."""

    async def close(self) -> None:
        """Close the connections."""


class LocalEmbedder:
    """`wordllama` with the weights of its wheel: static vectors, no network, thousands of texts a second."""

    model = LOCAL_MODEL

    def __init__(self, batch_texts: int) -> None:
        self.batch_texts = batch_texts
        self._loaded: Any = None
        self._loading = asyncio.Lock()

    async def embed(self, texts: Sequence[str]) -> Embedded:
        async with self._loading:
            if self._loaded is None:
                self._loaded = await asyncio.to_thread(_load)
        return await asyncio.to_thread(self._embed, list(texts))

    def _embed(self, texts: list[str]) -> Embedded:
        # An empty text has no direction: divided by its length it would be no number.
        vectors = self._loaded.embed([text.strip() or "." for text in texts], norm=True)
        counted = sum(tokens.count(text, self.model) for text in texts)
        return Embedded([[float(x) for x in vector] for vector in vectors], counted)

    async def close(self) -> None:
        self._loaded = None


def _load() -> Any:
    # Half a second, which only those who embed pay.
    import wordllama  # noqa: PLC0415

    folder = Path(wordllama.__file__).parent
    return wordllama.WordLlama.load(cache_dir=folder, disable_download=True)


class _Vector(Struct, frozen=True):
    index: int
    embedding: list[float]


class _Usage(Struct, frozen=True):
    prompt_tokens: int = 0


class _Answer(Struct, frozen=True):
    data: list[_Vector]
    usage: _Usage = _Usage()


class OpenAIEmbedder:
    """Any server that speaks OpenAI's `POST /embeddings`."""

    def __init__(self, settings: EmbeddingSettings) -> None:
        self.model = settings.model
        self.batch_texts = settings.batch_texts
        self._url = settings.base_url.rstrip("/") + "/embeddings"
        self._headers = {"Authorization": f"Bearer {settings.api_key.get_secret_value()}"}
        self._timeout = aiohttp.ClientTimeout(total=settings.timeout_ms / 1000)
        self._session: aiohttp.ClientSession | None = None

    async def embed(self, texts: Sequence[str]) -> Embedded:
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers, timeout=self._timeout)
        body = {"model": self.model, "input": list(texts), "encoding_format": "float"}
        try:
            async with self._session.post(self._url, json=body) as response:
                raw = await _body(response)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise EmbeddingAway("the embedding model is not reachable") from error
        if status == 429 or status >= 500:
            raise EmbeddingAway(f"the embedding model answered with status {status}")
        if status != 200:
            raise EmbeddingRefused(f"the embedding model answered with status {status}")
        return _read(raw, texts, self.model)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        body += chunk
        if len(body) > _MAX_ANSWER:
            raise EmbeddingRefused(f"the embedding model answered with more than {_MAX_ANSWER} bytes")
    return bytes(body)


def _read(raw: bytes, texts: Sequence[str], model: str) -> Embedded:
    try:
        answer = msgspec.json.decode(raw, type=_Answer)
    except msgspec.DecodeError as error:
        raise EmbeddingAway("the embedding model answered with something else") from error
    vectors = [item.embedding for item in sorted(answer.data, key=lambda item: item.index)]
    if len(vectors) != len(texts):
        raise EmbeddingAway(f"the embedding model made {len(vectors)} vectors of {len(texts)} texts")
    counted = answer.usage.prompt_tokens or sum(tokens.count(text, model) for text in texts)
    return Embedded(vectors, counted)


def connect(settings: EmbeddingSettings) -> Embedder:
    """Return the model of the settings; it is loaded or connected to when it is first needed."""
    return OpenAIEmbedder(settings) if settings.base_url else LocalEmbedder(settings.batch_texts)
