"""Both models that embed: the one that comes along, and any that speaks OpenAI's protocol."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import embedding_server
import pytest
from containers import free_ports
from pydantic import SecretStr

from kit import embeddings
from kit.embeddings import LOCAL_MODEL, EmbeddingAway, EmbeddingRefused
from kit.settings import EmbeddingSettings
from metering.catalog import list_price_book


def settings(url: str) -> EmbeddingSettings:
    return EmbeddingSettings(base_url=url, api_key=SecretStr("sk-test"), model=embedding_server.MODEL)


async def test_the_model_that_comes_along_needs_no_network_and_knows_meanings() -> None:
    model = embeddings.connect(EmbeddingSettings())

    made = await model.embed(
        ["a cat sat on the mat", "a kitten was sitting on a rug", "quarterly tax return", ""]
    )

    cat, kitten, tax, nothing = made.vectors
    assert math.isclose(sum(x * x for x in cat), 1, rel_tol=1e-3)
    assert all(math.isfinite(x) for x in nothing)
    near, far = (sum(x * y for x, y in zip(cat, other, strict=True)) for other in (kitten, tax))
    assert near > far + 0.2
    assert made.tokens > 15
    assert (await model.embed(["a cat sat on the mat"])).vectors == [cat]


async def test_vectors_come_in_the_order_of_their_texts() -> None:
    async with embedding_server.running() as server:
        model = embeddings.connect(settings(server.url))
        both = await model.embed(["one", "two"])
        one = await model.embed(["one"])
        await model.close()

    assert both.vectors[0] == one.vectors[0] != both.vectors[1]
    assert (both.tokens, one.tokens) == (20, 10)
    assert set(server.keys) == {"Bearer sk-test"}


@pytest.mark.parametrize(
    ("status", "raised"),
    [(429, EmbeddingAway), (500, EmbeddingAway), (400, EmbeddingRefused), (401, EmbeddingRefused)],
)
async def test_what_may_be_tried_again_and_what_may_not(status: int, raised: type[Exception]) -> None:
    async with embedding_server.running() as server:
        server.statuses.append(status)
        model = embeddings.connect(settings(server.url))

        with pytest.raises(raised) as told:
            await model.embed(["one"])
        await model.close()

    assert "sk-test" not in str(told.value)


async def test_a_model_that_is_not_reachable_is_away() -> None:
    model = embeddings.connect(settings(f"http://127.0.0.1:{free_ports('nobody')['nobody']}/v1"))

    with pytest.raises(EmbeddingAway):
        await model.embed(["one"])
    await model.close()


@pytest.mark.parametrize("model", [LOCAL_MODEL, "text-embedding-3-small", "text-embedding-3-large"])
def test_what_embedding_costs_is_in_the_list_and_not_a_guess(model: str) -> None:
    book = list_price_book(datetime(2026, 1, 1, tzinfo=UTC))

    assert 0 < book.models[model].input < book.default.input
