"""The worker as a process: what is asked for on Kafka can be found in the end, once, whatever happens."""

from __future__ import annotations

import asyncio
import json
import signal

import embedding_server
import made_files
import pytest
import web_site
from waiting import eventually, until
from worker_rig import Rig

from ingestion.usage import run_id_of
from kit.clock import new_id
from kit.embeddings import LocalEmbedder
from kit.vectors.port import Question
from schemas import topics
from schemas.events import DeadLetter, RunEvent, TokenEvent
from schemas.ingestion import SourceProgress


async def found(rig: Rig, text: str) -> list[str]:
    embedder = LocalEmbedder(8)
    made = await embedder.embed([text])
    hits = await rig.store.search(
        Question(
            tenant_id=rig.tenant_id,
            instance_id=rig.instance_id,
            text=text,
            vector=made.vectors[0],
            model=embedder.model,
        )
    )
    return [hit.text for hit in hits]


async def test_an_upload_is_found_metered_and_told_of(rig: Rig) -> None:
    source_id = new_id("src")
    blob = await rig.blob(source_id, made_files.docx("Returns", "Send it back within 30 days of delivery."))
    await rig.start()

    request = await rig.ask(source_id, kind="upload", title="Terms.docx", blob=blob)
    ready = await rig.ended(source_id)

    assert (ready.status, ready.chunks, ready.pages) == ("ready", 1, 1)
    assert "30 days" in (await found(rig, "how long can I send it back"))[0]
    told = [event.status for event in await rig.said(topics.INGESTION_PROGRESS, SourceProgress)]
    assert list(dict.fromkeys(told)) == ["fetching", "parsing", "chunking", "embedding", "indexing", "ready"]
    runs = await rig.said(topics.RUNS, RunEvent)
    [call] = await rig.said(topics.TOKENS, TokenEvent)
    assert [(run.status, run.run_id, run.channel) for run in runs] == [
        ("started", run_id_of(request), "console"),
        ("completed", run_id_of(request), "console"),
    ]
    assert (call.run_id, call.model, call.input_uncached) == (
        run_id_of(request),
        "wordllama-l2-256",
        ready.tokens,
    )
    assert runs[1].credits_micro > 0
    assert runs[1].tokens_in == ready.tokens > 0


async def test_pages_of_a_site_and_what_was_wrong_with_some(rig: Rig) -> None:
    async with web_site.running() as site:
        prose = "Delivery to the islands takes nine working days because of the ferry. " * 5
        site.add(
            "/", f"<html><body><article><p>{prose}</p><a href='/pic'>p</a><a href='/gone'>g</a></article>"
        )
        site.add("/pic", "\x00\x01\x02")
        await rig.start()

        await rig.ask("src_site_" + rig.org_id, kind="site", url=site.url(), max_pages=9, max_depth=1)
        ready = await rig.ended("src_site_" + rig.org_id)

    assert ready.status == "ready"
    assert sorted(error.partition(": ")[0] for error in ready.page_errors) == [
        site.url("/gone"),
        site.url("/pic"),
    ]
    assert "ferry" in (await found(rig, "islands delivery"))[0]


async def test_a_tenant_without_prices_is_told_before_anything_is_used(rig: Rig) -> None:
    rig.tenant_id = new_id("tenant")
    await rig.projected()
    await rig.start()

    await rig.ask("src_poor_" + rig.org_id, blob="0" * 64)

    assert (await rig.ended("src_poor_" + rig.org_id)).error_code == "no_prices"


async def test_prices_that_redis_was_not_given_again_yet_are_waited_for(rig: Rig) -> None:
    rig.tenant_id = new_id("tenant")
    await rig.projected(whole=False)
    source_id = new_id("src")
    blob = await rig.blob(source_id, made_files.docx("Returns", "Send it back within 30 days of delivery."))
    await rig.start()
    await rig.ask(source_id, kind="upload", title="Terms.docx", blob=blob)
    log = rig.folder / "worker.log"
    await until(lambda: log.exists() and "NotProjectedYet" in log.read_text(), "it waits")

    await rig.prices()
    await rig.projected()

    assert (await rig.ended(source_id)).status == "ready"


async def test_a_killed_worker_leaves_no_chunk_twice_and_is_charged_once(rig: Rig) -> None:
    source_id = new_id("src")
    text = "\n\n".join(
        f"## Part {n}\n\nSentence {n} of a long book about {n} parrots." * 8 for n in range(600)
    )
    blob = await rig.blob(source_id, text.encode())
    rig.settings["RUNMETER_EMBEDDING_BATCH_TEXTS"] = "4"
    await rig.start()
    request = await rig.ask(source_id, blob=blob)

    async def some_are_written() -> bool:
        return await asyncio.to_thread(rig.rows, source_id) > 0

    await eventually(some_are_written, "chunks are written")
    await rig.end(signal.SIGKILL)
    half = rig.rows(source_id)
    assert await rig.count() == 0
    rig.settings["RUNMETER_EMBEDDING_BATCH_TEXTS"] = "64"
    await rig.start()
    ready = await rig.ended(source_id)

    assert 0 < half < ready.chunks
    assert ready.status == "ready"
    assert await rig.count() == rig.rows(source_id) == ready.chunks
    calls = await rig.said(topics.TOKENS, TokenEvent)
    assert {(call.run_id, call.call_id) for call in calls} == {(run_id_of(request), calls[0].call_id)}
    assert {call.input_uncached for call in calls} == {ready.tokens}


async def test_asking_for_a_version_again_only_says_so_again(rig: Rig) -> None:
    source_id = new_id("src")
    blob = await rig.blob(source_id, b"A few words about parrots.")
    await rig.start()
    await rig.ask(source_id, blob=blob)
    first = await rig.ended(source_id)

    await rig.ask(source_id, blob=blob)

    async def ends() -> list[SourceProgress]:
        told = await rig.said(topics.INGESTION_PROGRESS, SourceProgress)
        return [event for event in told if event.status == "ready"]

    async def told_twice() -> bool:
        return len(await ends()) == 2

    await eventually(told_twice, "it was said again")
    second = (await ends())[1]
    assert (second.chunks, second.tokens) == (first.chunks, first.tokens)
    assert rig.rows(source_id) == 1
    assert len(await rig.said(topics.TOKENS, TokenEvent)) == 1


async def test_a_new_version_replaces_the_old_and_a_deletion_leaves_nothing(rig: Rig) -> None:
    source_id = new_id("src")
    old = await rig.blob(source_id, b"Our office is in Oslo.\n\n" * 3)
    new = await rig.blob(source_id, json.dumps([{"question": "Where?", "answer": "In Bergen."}]).encode())
    await rig.start()
    await rig.ask(source_id, blob=old)
    await rig.ended(source_id)
    assert "Oslo" in (await found(rig, "office"))[0]

    await rig.ask(source_id, 2, kind="qa", blob=new)
    await rig.ended(source_id, 2)

    assert rig.texts(source_id) == ["Question: Where?\nAnswer: In Bergen."]

    await rig.ask(source_id, 3, action="delete")
    await rig.ended(source_id, 3)

    assert rig.rows(source_id) == await rig.count() == 0
    assert await found(rig, "office in Oslo or Bergen") == []
    assert not (rig.folder / "blobs" / source_id).exists()


async def test_a_record_that_is_no_request_is_buried_and_the_next_one_served(rig: Rig) -> None:
    await rig.send(topics.INGESTION_REQUESTED, b'{"v": 1, "what": "ever"}')
    source_id = new_id("src")
    blob = await rig.blob(source_id, b"Words.")
    await rig.start()

    await rig.ask(source_id, blob=blob)

    assert (await rig.ended(source_id)).status == "ready"
    [letter] = await rig.said(topics.DEAD_LETTERS, DeadLetter)
    assert (letter.topic, letter.value) == (topics.INGESTION_REQUESTED.name, b'{"v": 1, "what": "ever"}')


async def test_a_worker_that_is_told_to_stop_stops(rig: Rig) -> None:
    await rig.start()
    source_id = new_id("src")
    await rig.ask(source_id, blob=await rig.blob(source_id, b"Words."))
    await rig.ended(source_id)

    assert await rig.end() == 0


async def test_what_is_deleted_while_it_is_read_leaves_nothing(rig: Rig) -> None:
    source_id = new_id("src")
    text = "\n\n".join(f"## Part {n}\n\nSentence {n} about {n} parrots." * 8 for n in range(600))
    blob = await rig.blob(source_id, text.encode())
    rig.settings["RUNMETER_EMBEDDING_BATCH_TEXTS"] = "4"
    await rig.start()
    await rig.ask(source_id, blob=blob)

    async def some_are_written() -> bool:
        return await asyncio.to_thread(rig.rows, source_id) > 0

    await eventually(some_are_written, "chunks are written")
    await rig.ask(source_id, 2, action="delete")
    await rig.ended(source_id, 2)
    await rig.settled()

    told = await rig.said(topics.INGESTION_PROGRESS, SourceProgress)
    assert {event.version for event in told if event.status in ("ready", "failed", "deleted")} == {2}
    assert rig.rows(source_id) == await rig.count() == 0


async def test_what_a_new_version_says_again_is_not_embedded_again(rig: Rig) -> None:
    source_id = new_id("src")

    async def version(number: int, answers: list[str]) -> tuple[SourceProgress, int]:
        pairs = [{"question": f"Question {n}?", "answer": text} for n, text in enumerate(answers)]
        before = sum(map(len, server.asked))
        await rig.ask(
            source_id, number, kind="qa", blob=await rig.blob(source_id, json.dumps(pairs).encode())
        )
        ended = await rig.ended(source_id, number)
        assert ended.status == "ready", ended
        return ended, sum(map(len, server.asked)) - before

    async with embedding_server.running() as server:
        rig.settings |= {
            "RUNMETER_EMBEDDING_BASE_URL": server.url,
            "RUNMETER_EMBEDDING_MODEL": embedding_server.MODEL,
            "RUNMETER_EMBEDDING_BATCH_TEXTS": "4",
        }
        await rig.start()
        answers = [f"Answer {n}." for n in range(10)]
        first, asked_first = await version(1, answers)
        same, asked_same = await version(2, answers)
        changed, asked_changed = await version(
            3, ["Of course.", *answers[1:5], "Never.", *answers[6:], "One more."]
        )

    assert [asked_first, asked_same] == [10, 0]
    assert [first.tokens, same.tokens] == [100, 0]
    assert (changed.chunks, asked_changed, changed.tokens) == (11, 3, 30)
    texts = rig.texts(source_id)
    assert [texts[n].rpartition(": ")[2] for n in (0, 4, 5, 10)] == [
        "Of course.",
        "Answer 4.",
        "Never.",
        "One more.",
    ]
    vectors = rig.client.query(
        "SELECT text, section, vector FROM knowledge_chunks WHERE source_id = {id:String}",
        parameters={"id": source_id},
    ).result_rows
    assert all(
        vector == pytest.approx(embedding_server._vector(f"{section}\n{text}"), abs=1e-6)
        for text, section, vector in vectors
    )
    calls = await rig.said(topics.TOKENS, TokenEvent)
    assert [call.input_uncached for call in calls] == [100, 0, 30]
