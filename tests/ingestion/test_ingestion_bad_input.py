"""What cannot be indexed: its reason is told, nothing of it stays, and what was used is metered."""

from __future__ import annotations

import os
from typing import Any

import embedding_server
import made_files
import pytest
import web_site
from worker_rig import Rig

from ingestion.usage import PAGES_TOOL, run_id_of
from kit.clock import new_id
from schemas import topics
from schemas.events import RunEvent, TokenEvent, ToolCallEvent

FILES = {
    "corrupt": lambda: made_files.docx("A", "b" * 5_000)[:-200],
    "encrypted": lambda: made_files.pdf("x", encrypted=True),
    "empty": lambda: b" \n ",
    "too_large": lambda: made_files.zip_bomb(honest=True),
    "unsupported_type": lambda: b"MZ\x90\x00\x03\x00" + os.urandom(100),
    "no_text": lambda: made_files.pdf(""),
}


async def test_bad_files_fail_with_their_reason_and_cost_nothing(rig: Rig) -> None:
    await rig.start()
    ids = {code: new_id("src") for code in [*FILES, "blob_missing"]}
    for code, source_id in ids.items():
        made = FILES.get(code)
        blob = await rig.blob(source_id, made()) if made else "0" * 64
        await rig.ask(source_id, kind="upload", blob=blob)

    await ended_as(rig, ids)


async def test_bad_addresses_fail_with_their_reason_and_cost_nothing(rig: Rig) -> None:
    rig.settings["RUNMETER_INGESTION_FETCH_TIMEOUT_MS"] = "3000"
    async with web_site.running() as site:
        site.pages["/loop"] = "/loop"
        site.partly = {
            "/large": (web_site.PROMISED, "cut"),
            "/stalls": (1_000_000, "stall"),
            "/cut": (1_000_000, "cut"),
        }
        urls = {
            "address_refused": "http://169.254.169.254/latest/meta-data/",
            "bad_address": "file:///etc/passwd",
            "too_many_redirects": site.url("/loop"),
            "http_error": site.url("/gone"),
            "unreachable": "http://127.0.0.1:1/",
            "timeout": site.url("/stalls"),
            "too_large": site.url("/large"),
        }
        await rig.start()
        ids = {code: new_id("src") for code in urls}
        for code, url in urls.items():
            await rig.ask(ids[code], kind="url", url=url)
        cut = new_id("src")
        await rig.ask(cut, kind="url", url=site.url("/cut"))

        await ended_as(rig, ids)
        assert (await rig.ended(cut)).error_code == "unreachable"
        # It was left as soon as it was too large, and not read to its end first.
        assert site.sent_bytes < web_site.PROMISED // 2


async def ended_as(rig: Rig, ids: dict[str, str]) -> None:
    for code, source_id in ids.items():
        failed = await rig.ended(source_id)
        assert (failed.status, failed.error_code) == ("failed", code)
        assert len(failed.error) > 20
        assert rig.rows(source_id) == 0
    assert await rig.said(topics.RUNS, RunEvent) == []


async def test_what_the_model_refuses_midway_leaves_no_chunk_and_what_was_used_is_metered(rig: Rig) -> None:
    source_id = new_id("src")
    pairs = [f'{{"question": "Question {n}?", "answer": "Answer {n}."}}' for n in range(20)]
    blob = await rig.blob(source_id, f"[{','.join(pairs)}]".encode())
    async with embedding_server.running() as server:
        server.refused = "Question 11?"
        use(rig, server)
        await rig.start()

        request = await rig.ask(source_id, kind="qa", blob=blob)
        failed = await rig.ended(source_id)
        await rig.settled()

        assert failed.error_code == "embedding_refused"
        assert rig.rows(source_id) == 0
        [call] = await rig.said(topics.TOKENS, TokenEvent)
        assert (call.run_id, call.model, call.input_uncached) == (
            run_id_of(request),
            embedding_server.MODEL,
            80,
        )
        runs = await rig.said(topics.RUNS, RunEvent)
        assert [(run.status, run.error_code) for run in runs] == [
            ("started", ""),
            ("failed", "embedding_refused"),
        ]


async def test_a_model_that_fails_stalls_or_cuts_for_a_moment_is_waited_for(rig: Rig) -> None:
    source_id = new_id("src")
    blob = await rig.blob(source_id, b"A few words about parrots.")
    async with embedding_server.running() as server:
        server.statuses = [500, "stall", "cut", 429]
        use(rig, server)
        rig.settings["RUNMETER_EMBEDDING_TIMEOUT_MS"] = "1000"
        await rig.start()

        await rig.ask(source_id, blob=blob)
        ready = await rig.ended(source_id)

    assert (ready.status, ready.model, rig.rows(source_id)) == ("ready", embedding_server.MODEL, 1)
    assert ready.tokens == 10
    [call] = await rig.said(topics.TOKENS, TokenEvent)
    assert call.input_uncached == 10


async def test_a_model_that_stays_away_ends_at_the_deadline(rig: Rig) -> None:
    source_id = new_id("src")
    blob = await rig.blob(source_id, b"A few words about parrots.")
    async with embedding_server.running() as server:
        server.statuses = [500] * 1_000
        use(rig, server)
        rig.settings["RUNMETER_INGESTION_SOURCE_TIMEOUT_MS"] = "4000"
        await rig.start()

        await rig.ask(source_id, blob=blob)
        failed = await rig.ended(source_id)

    assert (failed.error_code, rig.rows(source_id)) == ("unavailable", 0)


@pytest.mark.parametrize(("pages", "calls"), [(3, 1), (120, 3)])
async def test_pages_are_metered_by_the_fifty(rig: Rig, pages: int, calls: int) -> None:
    source_id = new_id("src")
    blob = await rig.blob(source_id, made_files.pdf(*(f"Page {n} is about parrots." for n in range(pages))))
    await rig.start()

    await rig.ask(source_id, kind="upload", blob=blob)
    ready = await rig.ended(source_id)

    assert (ready.status, ready.pages) == ("ready", pages)
    told: list[Any] = await rig.said(topics.TOOL_CALLS, ToolCallEvent)
    assert [call.tool for call in told] == [PAGES_TOOL] * calls
    assert len({call.tool_call_id for call in told}) == calls
    [completed] = [run for run in await rig.said(topics.RUNS, RunEvent) if run.status == "completed"]
    assert completed.tool_calls == calls


def use(rig: Rig, server: embedding_server.EmbeddingServer) -> None:
    rig.settings |= {
        "RUNMETER_EMBEDDING_BASE_URL": server.url,
        "RUNMETER_EMBEDDING_MODEL": embedding_server.MODEL,
        "RUNMETER_EMBEDDING_BATCH_TEXTS": "4",
    }
