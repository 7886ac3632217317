"""Knowledge sources as buyers handle them; what the ingestion worker says is said here by hand."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from containers import free_ports
from control_places import Place
from control_server import Api, serving
from control_world import NOW, World
from redis.asyncio import Redis

from console_api.control.plane import ControlPlane
from console_api.knowledge import progress
from console_api.knowledge.running import KnowledgeConfig
from console_api.knowledge.schedule import Schedule
from kit.clock import new_id
from kit.embeddings import LOCAL_MODEL
from kit.settings import EmbeddingSettings, KnowledgeSettings
from schemas.ingestion import IngestionRequest, SourceProgress

SITE = {"kind": "site", "url": "https://docs.example.com/", "max_pages": 20, "max_depth": 1}
TEXT = {"kind": "text", "title": "Returns", "text": "Send it back within 30 days."}


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest_asyncio.fixture
async def api(place: Place, redis_url: str, redis: Redis, world: World, blobs: Path) -> AsyncIterator[Api]:
    """The API with little room. Kafka and ClickHouse are away, which must not matter to what it writes."""
    nowhere = f"127.0.0.1:{free_ports('nobody')['nobody']}"
    settings = KnowledgeSettings(
        blob_dir=str(blobs),
        max_sources=3,
        max_bytes=50_000,
        max_upload_bytes=30_000,
        max_site_pages=10,
        schedule_every_ms=3_600_000,
    )
    # Its own schedule looks once, at the start, and finds nothing: the tests look themselves.
    knowledge = KnowledgeConfig(settings, EmbeddingSettings(), place.data_dir)
    async with (
        serving(place, redis_url, nowhere, world, knowledge=knowledge) as url,
        aiohttp.ClientSession() as http,
    ):
        yield Api(url, http, redis, world)


def sources(world: World, rest: str = "") -> str:
    return f"/instances/{world.instance_id}/sources{rest}"


async def upload(api: Api, data: bytes, name: str = "a.txt", role: Any = "owner") -> tuple[int, Any]:
    headers = {**await api.headers(role), "X-Filename": name, "Content-Type": "application/octet-stream"}
    url = f"{api.url}/api/v1{sources(api.world, ':upload')}"
    async with api.http.post(url, data=data, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


async def requests(world: World) -> list[IngestionRequest]:
    rows = [row for row in await world.outbox() if row.topic == "ingestion.requested"]
    return [msgspec.json.decode(row.payload, type=IngestionRequest) for row in rows]


def kept_in(blobs: Path) -> list[Path]:
    return list(blobs.iterdir()) if blobs.exists() else []


async def hear(world: World, source_id: str, status: Any, **fields: Any) -> bool:
    event = SourceProgress(
        **{
            "tenant_id": world.tenant_id,
            "org_id": world.org_id,
            "instance_id": world.instance_id,
            "source_id": source_id,
            "version": 1,
            "attempt_ms": NOW,
            "seq": 1,
            "status": status,
            "occurred_at_ms": NOW + 5,
            **fields,
        }
    )
    async with world.database.writing() as session:
        return await progress.apply(session, event)


async def test_a_site_is_asked_for_on_kafka_with_the_row(api: Api, world: World) -> None:
    made = await api("POST", sources(world), SITE)

    assert made.status == 201
    assert (made.body["status"], made.body["version"], made.body["title"]) == ("queued", 1, SITE["url"])
    [asked] = await requests(world)
    assert (asked.source_id, asked.kind, asked.url) == (made.body["source_id"], "site", SITE["url"])
    assert (asked.tenant_id, asked.org_id, asked.instance_id) == (
        world.tenant_id,
        world.org_id,
        world.instance_id,
    )
    assert (asked.max_pages, asked.max_depth) == (10, 1)  # the setting's, which is less
    [entry] = await world.audited(asked.source_id)
    assert entry.action == "knowledge.create"


async def test_an_upload_is_kept_before_it_is_asked_for(api: Api, world: World, blobs: Path) -> None:
    status, made = await upload(api, b"hello " * 1_000, name="Pr%C3%BCfung/..%2Fr%C3%BCck.txt")

    [asked] = await requests(world)
    assert (status, made["title"], made["size_bytes"]) == (201, "rück.txt", 6_000)
    assert (blobs / asked.source_id / asked.blob).read_bytes() == b"hello " * 1_000
    assert (await api("GET", sources(world))).body["quota"]["bytes"] == 6_000


async def test_a_form_may_carry_the_file(api: Api, world: World, blobs: Path) -> None:
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("file", io.BytesIO(b"hello"), filename="docs/a.txt")
    url = f"{api.url}/api/v1{sources(world, ':upload')}"

    async with api.http.post(url, data=form, headers=await api.headers("owner")) as answer:
        made = await answer.json()

    [asked] = await requests(world)
    assert made["title"] == "a.txt"
    assert (blobs / asked.source_id / asked.blob).read_bytes() == b"hello"


async def test_a_file_that_is_too_large_leaves_nothing(api: Api, world: World, blobs: Path) -> None:
    status, problem = await upload(api, bytes(30_001))

    assert (status, problem["code"], problem["limit_bytes"]) == (413, "body_too_large", 30_000)
    assert await requests(world) == []
    assert kept_in(blobs) == []


@pytest.mark.parametrize("kind", ["text", "qa"])
async def test_texts_and_pairs_become_blobs(api: Api, world: World, blobs: Path, kind: str) -> None:
    pairs = [{"question": "When?", "answer": "Now."}]
    made = await api("POST", sources(world), TEXT if kind == "text" else {"kind": "qa", "pairs": pairs})

    [asked] = await requests(world)
    kept = (blobs / asked.source_id / asked.blob).read_bytes()
    assert made.status == 201
    assert kept == (TEXT["text"].encode() if kind == "text" else msgspec.json.encode(pairs))


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "url"},
        {"kind": "url", "url": "ftp://x.example/"},
        {"kind": "url", "url": "https://user:pw@x.example/"},
        {"kind": "text", "text": " "},
        {"kind": "qa", "pairs": []},
        {"kind": "upload"},
        {"kind": "text", "text": "x", "url": "https://x.example/"},
    ],
)
async def test_what_makes_no_source_is_refused_with_the_reason(api: Api, world: World, wrong: Any) -> None:
    refused = await api("POST", sources(world), wrong)

    assert (refused.status, refused.body["code"]) == (422, "invalid_request")
    assert await requests(world) == []


async def test_an_instance_has_so_many_sources_and_so_many_bytes(api: Api, world: World, blobs: Path) -> None:
    assert (await upload(api, bytes(30_000)))[0] == 201
    status, problem = await upload(api, bytes(20_001))
    assert (status, problem["code"]) == (409, "knowledge_quota_reached")
    assert len(kept_in(blobs)) == 1
    for _ in range(2):
        await api("POST", sources(world), SITE)

    assert (await api("POST", sources(world), SITE)).status == 409


async def test_viewers_look_and_do_not_touch(api: Api, world: World) -> None:
    made = (await api("POST", sources(world), SITE)).body
    at = sources(world, f"/{made['source_id']}")

    assert (await api("GET", at, role="viewer")).status == 200
    assert (await api("POST", sources(world), SITE, role="viewer")).status == 403
    assert (await upload(api, b"x", role="viewer"))[0] == 403
    assert (await api("DELETE", at, role="viewer")).status == 403
    assert (await api("POST", f"{at}:resync", role="viewer")).status == 403
    assert len(await requests(world)) == 1


async def test_another_orgs_instance_is_not_there(api: Api, world: World) -> None:
    made = (await api("POST", sources(world), SITE)).body
    foreign = await api.headers("owner", new_id("org"))
    at = sources(world, f"/{made['source_id']}")

    for method, path, body in (
        ("GET", sources(world), None),
        ("POST", sources(world), SITE),
        ("GET", at, None),
        ("DELETE", at, None),
        ("POST", f"{at}:resync", None),
        ("GET", f"{at}/content", None),
        ("POST", f"/instances/{world.instance_id}/knowledge:search", {"query": "x"}),
    ):
        assert (await api(method, path, body, headers=foreign)).status == 404


async def test_pages_are_newest_first(api: Api, world: World) -> None:
    made = []
    for _ in range(3):
        world.clock.at_ms += 1
        made.append((await api("POST", sources(world), SITE)).body["source_id"])

    first = (await api("GET", sources(world, "?limit=2"))).body
    second = (await api("GET", sources(world, f"?limit=2&cursor={first['next_cursor']}"))).body

    shown = [item["source_id"] for item in first["sources"] + second["sources"]]
    assert shown == made[::-1]
    assert second["next_cursor"] is None


async def test_progress_is_shown_as_it_comes_and_old_news_is_not(api: Api, world: World) -> None:
    source_id = (await api("POST", sources(world), SITE)).body["source_id"]
    at = sources(world, f"/{source_id}")

    assert await hear(world, source_id, "embedding", seq=4, done=64, total=210, unit="chunks")
    assert not await hear(world, source_id, "parsing", seq=2)
    assert not await hear(world, source_id, "embedding", seq=4)
    shown = (await api("GET", at)).body
    assert (shown["status"], shown["progress"]) == (
        "embedding",
        {"done": 64, "total": 210, "unit": "chunks"},
    )

    assert await hear(world, source_id, "fetching", attempt_ms=NOW + 1, seq=1)  # the worker died
    assert await hear(world, source_id, "ready", attempt_ms=NOW + 1, seq=9, pages=3, chunks=210, tokens=900)
    shown = (await api("GET", at)).body
    assert (shown["status"], shown["pages"], shown["chunks"], shown["tokens"]) == ("ready", 3, 210, 900)


async def test_a_failure_says_what_to_do(api: Api, world: World) -> None:
    source_id = (await api("POST", sources(world), SITE)).body["source_id"]

    await hear(world, source_id, "failed", error_code="robots_refused", error="The site says no.")

    shown = (await api("GET", sources(world, f"/{source_id}"))).body
    assert (shown["status"], shown["error_code"], shown["error"]) == (
        "failed",
        "robots_refused",
        "The site says no.",
    )


async def test_a_resync_is_a_new_version_and_what_was_known_stays_shown(api: Api, world: World) -> None:
    source_id = (await api("POST", sources(world), SITE)).body["source_id"]
    at = sources(world, f"/{source_id}")
    assert (await api("POST", f"{at}:resync")).status == 409  # it is being read
    await hear(world, source_id, "ready", chunks=7)

    again = await api("POST", f"{at}:resync")

    assert (again.status, again.body["version"], again.body["status"]) == (202, 2, "queued")
    assert again.body["chunks"] == 7
    assert [asked.version for asked in await requests(world)] == [1, 2]
    assert not await hear(world, source_id, "failed", seq=99)  # of the version before


PAIRS = [{"question": "When?", "answer": "Now."}, {"question": "Where?", "answer": "Here."}]
WRITTEN = {"text": TEXT, "qa": {"kind": "qa", "title": "Asked often", "pairs": PAIRS}}


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
    assert (await rewritten(api, text, tag, text="x" * 30_001)).status == 413
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


async def test_a_deletion_is_asked_for_once_and_then_forgotten(api: Api, world: World) -> None:
    source_id = (await api("POST", sources(world), TEXT)).body["source_id"]
    at = sources(world, f"/{source_id}")

    gone = [await api("DELETE", at) for _ in range(2)]

    assert [(answer.status, answer.body["status"]) for answer in gone] == [(202, "deleting")] * 2
    assert [(asked.action, asked.version) for asked in await requests(world)] == [("index", 1), ("delete", 2)]
    assert (await api("POST", f"{at}:resync")).status == 409
    assert not await hear(world, source_id, "ready", version=2)
    assert await hear(world, source_id, "deleted", version=2)
    assert (await api("GET", at)).status == 404
    assert (await api("GET", sources(world))).body["sources"] == []
    assert (await api("DELETE", at)).status == 404


async def test_knowledge_that_cannot_be_read_says_so(api: Api, world: World) -> None:
    answer = await api("POST", f"/instances/{world.instance_id}/knowledge:search", {"query": "returns"})

    assert (answer.status, answer.body["code"]) == (503, "knowledge_unavailable")
    made = await api("POST", sources(world), TEXT)
    read = await api("GET", sources(world, f"/{made.body['source_id']}/chunks"))
    assert (read.status, read.body["code"]) == (503, "knowledge_unavailable")
    assert (await api("GET", sources(world, "/src_none/chunks"))).status == 404


async def test_a_plan_says_how_much_an_instance_may_know(api: Api, world: World) -> None:
    await world.put_plan(knowledge={"max_sources": 1, "max_bytes": 100, "max_site_pages": 5})

    status, problem = await upload(api, bytes(101))
    assert (status, problem["code"]) == (409, "knowledge_quota_reached")
    assert "buy another instance" in problem["detail"]
    assert (await api("POST", sources(world), SITE)).status == 201
    assert (await api("POST", sources(world), SITE)).status == 409

    [asked] = await requests(world)
    assert asked.max_pages == 5
    quota = (await api("GET", sources(world))).body["quota"]
    assert (quota["max_sources"], quota["max_bytes"]) == (1, 100)


async def test_a_plan_does_not_allow_more_than_the_installation(api: Api, world: World) -> None:
    await world.put_plan(knowledge={"max_sources": 4_000})

    assert (await api("GET", sources(world))).body["quota"]["max_sources"] == 3


def schedule(world: World, model: str = LOCAL_MODEL) -> Schedule:
    return Schedule(cast(ControlPlane, world), model, 60)


async def test_a_site_is_read_anew_when_its_time_has_come_and_once(api: Api, world: World) -> None:
    site = {**SITE, "resync_hours": 24}
    source_id = (await api("POST", sources(world), site)).body["source_id"]
    await hear(world, source_id, "ready", model=LOCAL_MODEL)
    assert await schedule(world).turn(models=True) == 0

    world.clock.at_ms += 24 * 3_600_000 + 10

    assert await schedule(world).turn(models=True) == 1
    assert await schedule(world).turn(models=True) == 0
    assert [asked.version for asked in await requests(world)] == [1, 2]
    shown = (await api("GET", sources(world, f"/{source_id}"))).body
    assert (shown["status"], shown["next_sync_ms"]) == ("queued", 0)
    assert await hear(world, source_id, "failed", version=2, error_code="unreachable")
    shown = (await api("GET", sources(world, f"/{source_id}"))).body
    assert shown["next_sync_ms"] == NOW + 5 + 24 * 3_600_000  # a failure is tried again, too


async def test_how_often_a_site_is_read_anew_can_be_changed(api: Api, world: World) -> None:
    site = (await api("POST", sources(world), SITE)).body["source_id"]
    text = (await api("POST", sources(world), TEXT)).body["source_id"]

    changed = await api("PATCH", sources(world, f"/{site}"), {"resync_hours": 2})

    assert (changed.status, changed.body["next_sync_ms"]) == (200, NOW + 2 * 3_600_000)
    never = await api("PATCH", sources(world, f"/{site}"), {"resync_hours": 0})
    assert never.body["next_sync_ms"] == 0
    assert (await api("PATCH", sources(world, f"/{text}"), {"resync_hours": 2})).status == 409
    assert (await api("PATCH", sources(world, f"/{site}"), {"resync_hours": 2}, role="viewer")).status == 403
    assert (await api("POST", sources(world), {**TEXT, "resync_hours": 2})).status == 422


async def test_a_new_embedding_model_has_every_source_embedded_anew_once(api: Api, world: World) -> None:
    source_id = (await api("POST", sources(world), TEXT)).body["source_id"]
    await hear(world, source_id, "ready", model=LOCAL_MODEL)

    assert await schedule(world, "new-model").turn(models=False) == 0
    assert await schedule(world, "new-model").turn(models=True) == 1
    await hear(world, source_id, "ready", version=2, model=LOCAL_MODEL)  # a worker with another setting

    assert await schedule(world, "new-model").turn(models=True) == 0
    assert [asked.version for asked in await requests(world)] == [1, 2]


async def test_an_instance_that_has_ended_learns_nothing_any_more(api: Api, world: World) -> None:
    source_id = (await api("POST", sources(world), {**SITE, "resync_hours": 1})).body["source_id"]
    await hear(world, source_id, "ready", model=LOCAL_MODEL)
    await world.set_status("ended")
    world.clock.at_ms += 3_600_010

    await schedule(world, "new-model").turn(models=True)

    assert [asked.version for asked in await requests(world)] == [1]
