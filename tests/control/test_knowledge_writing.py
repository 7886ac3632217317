"""What somebody wrote, a text or questions and answers, is read and replaced."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from control_places import Place
from control_server import Api
from control_world import World
from knowledge_rig import SITE, TEXT, hear, knowing, requests, sources, upload
from redis.asyncio import Redis

PAIRS = [{"question": "When?", "answer": "Now."}, {"question": "Where?", "answer": "Here."}]
WRITTEN = {"text": TEXT, "qa": {"kind": "qa", "title": "Asked often", "pairs": PAIRS}}


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest_asyncio.fixture
async def api(place: Place, redis_url: str, redis: Redis, world: World, blobs: Path) -> AsyncIterator[Api]:
    async with knowing(place, redis_url, redis, world, blobs) as api:
        yield api


async def rewritten(api: Api, at: str, tag: str, **wanted: Any) -> Any:
    headers = {**await api.headers("member"), **({"If-Match": tag} if tag else {})}
    return await api("PUT", f"{at}/content", wanted, headers=headers)


@pytest.mark.parametrize("kind", ["text", "qa"])
async def test_what_was_written_is_read_and_replaced(api: Api, world: World, blobs: Path, kind: str) -> None:
    source_id = (await api("POST", sources(world), WRITTEN[kind])).body["source_id"]
    await hear(world, source_id, "ready", chunks=2)
    at = sources(world, f"/{source_id}")

    read = await api("GET", f"{at}/content", role="viewer")
    assert {"text": read.body["text"], "pairs": read.body["pairs"]} == {
        "text": WRITTEN[kind].get("text", ""),
        "pairs": WRITTEN[kind].get("pairs", []),
    }
    new = {"text": "Keep it."} if kind == "text" else {"pairs": PAIRS[:1]}
    answer = await rewritten(api, at, read.headers["ETag"], title="", **new)

    assert (answer.status, answer.body["version"], answer.body["status"]) == (200, 2, "queued")
    assert answer.body["title"] == ("Keep it." if kind == "text" else "When?")
    assert answer.body["chunks"] == 2  # what it said before is still known
    first, second = await requests(world)
    assert (second.version, second.action, second.title) == (2, "index", answer.body["title"])
    assert second.blob != first.blob
    assert len((blobs / source_id / second.blob).read_bytes()) == answer.body["size_bytes"]
    assert [entry.action for entry in await world.audited(source_id)][-1] == "knowledge.rewrite"


async def test_who_wrote_in_the_meantime_is_not_overwritten(api: Api, world: World, blobs: Path) -> None:
    source_id = (await api("POST", sources(world), TEXT)).body["source_id"]
    at = sources(world, f"/{source_id}")
    tag = (await api("GET", f"{at}/content")).headers["ETag"]
    assert (await rewritten(api, at, "", text="Without having read.")).status == 428

    faster = await rewritten(api, at, tag, text="Faster.")
    slower = await rewritten(api, at, tag, text="Slower.")

    assert (faster.status, slower.status, slower.body["code"]) == (200, 412, "precondition_failed")
    assert (await api("GET", f"{at}/content")).body["text"] == "Faster."
    assert len(await requests(world)) == 2
    await rewritten(api, at, faster.headers["ETag"], text="Third.")
    kept = {path.read_text() for path in (blobs / source_id).iterdir()}
    assert kept == {"Faster.", "Third."}  # a worker may be at the one before; those before it are gone


async def test_what_cannot_be_written_is_refused_and_changes_nothing(api: Api, world: World) -> None:
    site = sources(world, f"/{(await api('POST', sources(world), SITE)).body['source_id']}")
    text = sources(world, f"/{(await api('POST', sources(world), TEXT)).body['source_id']}")
    tag = '"1"'

    assert (await api("GET", f"{site}/content")).status == 409
    assert (await rewritten(api, site, tag, text="x")).status == 409
    assert (await rewritten(api, text, tag, pairs=PAIRS)).status == 422
    assert (await rewritten(api, text, tag, text=" ")).status == 422
    too_long = await rewritten(api, text, tag, text="x" * 40_000)
    assert (too_long.status, too_long.body["limit_bytes"]) == (413, 30_000)
    # Longer than most bodies may be: it is the plan that has no room for it.
    too_much = await rewritten(api, text, tag, text="x" * 70_000)
    assert (too_much.status, too_much.body["code"]) == (409, "knowledge_quota_reached")
    viewer = {**await api.headers("viewer"), "If-Match": tag}
    assert (await api("PUT", f"{text}/content", {"text": "x"}, headers=viewer)).status == 403
    await upload(api, bytes(29_000))
    full = await rewritten(api, text, tag, text="x" * 30_000)
    assert (full.status, full.body["code"]) == (409, "knowledge_quota_reached")
    assert (await api("GET", f"{text}/content")).body["text"] == TEXT["text"]
    await api("DELETE", text)
    assert (await rewritten(api, text, '"2"', text="x")).status == 409
    assert len(await requests(world)) == 4


async def test_a_full_plan_still_lets_one_edit(api: Api, world: World) -> None:
    for wanted in (SITE, SITE, TEXT):
        source_id = (await api("POST", sources(world), wanted)).body["source_id"]
    at = sources(world, f"/{source_id}")

    assert (await rewritten(api, at, '"1"', text="Shorter.")).status == 200
