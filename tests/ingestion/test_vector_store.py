"""What every vector store promises, on each of them."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import weaviate_server
from msgspec.structs import replace

from kit.clock import new_id
from kit.settings import KnowledgeSettings
from kit.vectors.port import Chunk, Generation, Place, Question, VectorStore, chunk_id

MODEL = "test-model"


@pytest.fixture(scope="session")
def weaviate(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    try:
        with weaviate_server.running(tmp_path_factory.mktemp("weaviate")) as settings:
            yield settings
    except weaviate_server.NotThere as error:
        pytest.skip(f"NOT TESTED ON WEAVIATE: {error}")


@pytest_asyncio.fixture(params=["clickhouse", "weaviate"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[VectorStore]:
    if request.param == "clickhouse":
        from kit.vectors.clickhouse import ClickHouseVectors

        opened: VectorStore = ClickHouseVectors(request.getfixturevalue("clickhouse"))
    else:
        from kit.vectors.weaviate import WeaviateVectors

        settings: KnowledgeSettings = request.getfixturevalue("weaviate")
        opened = WeaviateVectors(settings)
    yield opened
    await opened.close()


def place(source_id: str = "src_1", tenant_id: str = "tenant_1", instance_id: str = "") -> Place:
    return Place(
        tenant_id=tenant_id, instance_id=instance_id or INSTANCE[0], source_id=f"{INSTANCE[0]}_{source_id}"
    )


INSTANCE = [""]


@pytest.fixture(autouse=True)
def _own_instance() -> None:
    INSTANCE[0] = new_id("inst")


def direction(degrees: float) -> list[float]:
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0.0]


async def fill(
    store: VectorStore, texts: dict[str, float], version: int = 1, attempt: str = "a", **where: str
) -> Generation:
    generation = Generation(
        place=place(**where), version=version, attempt=attempt, model=MODEL, chunks=len(texts)
    )
    chunks = [
        Chunk(ordinal=n, text=text, tokens=3, title="Handbook", url="https://x.example/", section="S", page=n)
        for n, text in enumerate(texts)
    ]
    await store.upsert(generation, chunks, [direction(at) for at in texts.values()])
    return generation


async def found(store: VectorStore, text: str, degrees: float, **where: str) -> list[str]:
    whose = place(**where)
    hits = await store.search(question(whose, text, degrees))
    return [hit.text for hit in hits]


def question(whose: Place, text: str, degrees: float, model: str = MODEL) -> Question:
    return Question(
        tenant_id=whose.tenant_id,
        instance_id=whose.instance_id,
        text=text,
        vector=direction(degrees),
        model=model,
    )


async def count(store: VectorStore, source_id: str = "") -> int:
    whole = place(source_id) if source_id else place()
    return await store.count(whole.tenant_id, whole.instance_id, whole.source_id if source_id else "")


async def test_nothing_is_found_where_nothing_is(store: VectorStore) -> None:
    assert await found(store, "parrots", 0) == []
    assert await count(store) == 0
    assert await store.active(place()) is None


async def test_chunks_are_found_once_their_generation_is_activated(store: VectorStore) -> None:
    generation = await fill(store, {"about parrots": 0, "about wires": 90})

    assert await found(store, "parrots", 0) == []
    await store.activate(generation)

    assert (await found(store, "parrots", 0))[0] == "about parrots"
    assert await count(store) == 2
    assert await store.active(place()) == generation


async def test_a_hit_says_where_it_stands(store: VectorStore) -> None:
    generation = await fill(store, {"one": 0, "two": 30})
    await store.activate(generation)

    whose = place()
    [hit, *_] = await store.search(question(whose, "two", 30))

    assert (hit.text, hit.title, hit.url, hit.section, hit.page) == (
        "two",
        "Handbook",
        "https://x.example/",
        "S",
        1,
    )
    assert hit.source_id == whose.source_id
    assert hit.chunk_id.replace("-", "") == chunk_id(generation, 1)
    assert hit.similarity == pytest.approx(1, abs=1e-5)


async def test_words_find_what_meaning_misses_and_meaning_what_words_miss(store: VectorStore) -> None:
    texts = {f"filler number {n}": 120.0 + n for n in range(8)}
    await store.activate(await fill(store, {**texts, "error code XK-4711": 175, "near in meaning": 1}))

    hits = await found(store, "what is xk-4711", 0)

    assert set(hits[:2]) == {"error code XK-4711", "near in meaning"}


async def test_a_new_version_replaces_the_old_at_once_and_as_a_whole(store: VectorStore) -> None:
    await store.activate(await fill(store, {"old one": 0, "old two": 10, "old three": 20}))
    second = await fill(store, {"new one": 0}, version=2, attempt="b")
    before = await found(store, "one", 0)

    await store.activate(second)

    assert all(text.startswith("old") for text in before)
    assert len(before) == 3
    assert await found(store, "one", 0) == ["new one"]
    assert await count(store) == 1


async def test_writing_and_activating_again_changes_nothing(store: VectorStore) -> None:
    for _ in range(2):
        await store.activate(await fill(store, {"one": 0, "two": 10}))

    assert await count(store) == 2
    assert sorted(await found(store, "one", 0)) == ["one", "two"]


async def test_a_second_attempt_leaves_nothing_of_the_first(store: VectorStore) -> None:
    await fill(store, {"one": 0, "half": 10, "of it": 20}, attempt="died")
    await store.activate(await fill(store, {"one": 0, "two": 10}, attempt="lived"))

    assert await count(store) == 2
    assert sorted(await found(store, "one half", 0)) == ["one", "two"]


async def test_an_older_version_that_comes_late_is_not_read(store: VectorStore) -> None:
    late = await fill(store, {"old": 0})
    await store.activate(await fill(store, {"new": 0}, version=2))

    await store.activate(late)

    assert await found(store, "old", 0) == ["new"]


async def test_what_is_deleted_is_gone_and_an_older_version_does_not_bring_it_back(
    store: VectorStore,
) -> None:
    generation = await fill(store, {"one": 0})
    await store.activate(generation)
    await store.activate(await fill(store, {"other": 0}, source_id="src_2"))

    await store.delete(place(), 2)
    await store.activate(generation)
    await store.delete(place(), 2)

    assert await found(store, "one", 0) == ["other"]
    assert await count(store, "src_1") == 0
    assert await store.active(place()) is None


async def test_an_instance_never_sees_anothers_chunks(store: VectorStore) -> None:
    await store.activate(await fill(store, {"mine": 0}))

    assert await found(store, "mine", 0, instance_id=new_id("inst")) == []
    assert await found(store, "mine", 0, tenant_id="tenant_2") == []


async def test_vectors_of_another_model_are_not_compared(store: VectorStore) -> None:
    await store.activate(await fill(store, {"mine": 0}))
    whose = place()

    hits = await store.search(question(whose, "zzz", 0, "another"))

    assert hits == []


@pytest.mark.parametrize(
    "hostile", ["'; DROP TABLE knowledge_chunks; --", "{x:String}", "", "\x00", "🦜" * 500]
)
async def test_a_question_may_be_anything(store: VectorStore, hostile: str) -> None:
    await store.activate(await fill(store, {"mine": 0}))

    assert await found(store, hostile, 0) == ["mine"]


async def test_what_failed_is_thrown_away_and_what_is_read_stays(store: VectorStore) -> None:
    whole = await fill(store, {"whole": 0}, version=1)
    await store.activate(whole)
    half = await fill(store, {"half": 0}, version=2, attempt="b")

    await store.discard(half)
    await store.discard(half)

    assert await found(store, "whole half", 0) == ["whole"]
    await store.activate(half)  # nothing of it is there
    assert await found(store, "whole half", 0) == []


async def test_what_another_model_embedded_is_found_by_its_words_meanwhile(store: VectorStore) -> None:
    await store.activate(await fill(store, {"new parrots": 0}))
    generation = Generation(place=place("src_2"), version=1, attempt="a", model="older")
    chunk = Chunk(ordinal=0, text="old parrots", tokens=2)
    await store.upsert(generation, [chunk], [[0.6, 0.8, 0.0, 0.0, 0.0]])
    await store.activate(generation)

    assert sorted(await found(store, "parrots", 0)) == ["new parrots", "old parrots"]
    assert await found(store, "unheard of", 0) == ["new parrots"]
    assert await count(store) == 2


async def test_a_hit_carries_what_it_is_cited_by_and_how_near_it_is(store: VectorStore) -> None:
    await store.activate(await fill(store, {f"text {n}": n * 10 for n in range(8)}))
    whose = place()

    hits = await store.search(replace(question(whose, "no such word", 60), k=3))

    assert len(hits) == 3
    assert (hits[0].text, round(hits[0].similarity, 3)) == ("text 6", 1.0)
    assert (hits[0].title, hits[0].url, hits[0].section) == ("Handbook", "https://x.example/", "S")
    assert (hits[0].page, hits[0].source_id) == (6, whose.source_id)


async def test_chunks_are_listed_as_they_were_written(store: VectorStore) -> None:
    texts = {f"text {n}": n * 10.0 for n in range(7)}
    generation = await fill(store, texts)
    other = await fill(store, {"other": 0.0}, version=2, attempt="b")

    pages = [await store.chunks(generation, begin, 3) for begin in (0, 3, 6, 9)]

    assert [[stored.chunk.text for stored in page] for page in pages] == [
        ["text 0", "text 1", "text 2"],
        ["text 3", "text 4", "text 5"],
        ["text 6"],
        [],
    ]
    assert pages[1][0].chunk == Chunk(
        ordinal=3, text="text 3", tokens=3, title="Handbook", url="https://x.example/", section="S", page=3
    )
    assert {len(stored.vector) for page in pages for stored in page} == {0}
    [third] = await store.chunks(generation, 3, 1, vectors=True)
    assert list(third.vector) == pytest.approx(direction(30), abs=1e-6)
    assert [stored.chunk.text for stored in await store.chunks(other, 0, 9)] == ["other"]
    nobody = replace(generation, place=place(instance_id=new_id("inst")))
    assert await store.chunks(nobody, 0, 9) == []
