"""Knowledge sources as buyers handle them."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from control_places import Place
from control_server import Api
from control_world import NOW, World
from knowledge_rig import SITE, TEXT, hear, kept_in, knowing, requests, sources, upload
from redis.asyncio import Redis

from kit.clock import new_id


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest_asyncio.fixture
async def api(place: Place, redis_url: str, redis: Redis, world: World, blobs: Path) -> AsyncIterator[Api]:
    async with knowing(place, redis_url, redis, world, blobs) as api:
        yield api


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


async def test_bytes_of_an_address_count_once_they_are_known(api: Api, world: World) -> None:
    site = (await api("POST", sources(world), SITE)).body["source_id"]
    await upload(api, bytes(20_000))
    await hear(world, site, "ready", bytes=29_000)
    await api("POST", sources(world, f"/{site}:resync"))

    first, _, second = await requests(world)
    assert (first.max_bytes, second.max_bytes) == (50_000, 30_000)  # its own may be as many again
    shown = (await api("GET", sources(world))).body
    assert (shown["sources"][1]["size_bytes"], shown["quota"]["bytes"]) == (29_000, 49_000)
    await hear(world, site, "ready", version=2, bytes=30_000)
    full = await api("POST", sources(world), {"kind": "url", "url": SITE["url"]})
    assert (full.status, full.body["code"]) == (409, "knowledge_quota_reached")
    await api("POST", sources(world, f"/{site}:resync"))
    assert (await requests(world))[-1].max_bytes == 30_000


async def test_a_suspended_instance_learns_nothing_until_it_is_resumed(api: Api, world: World) -> None:
    made = (await api("POST", sources(world), TEXT)).body
    await hear(world, made["source_id"], "ready")
    at = sources(world, f"/{made['source_id']}")
    await world.set_status("suspended")

    assert (await api("POST", sources(world), SITE)).status == 409
    assert (await upload(api, b"x"))[0] == 409
    assert (await api("POST", f"{at}:resync")).status == 409
    assert (await api("GET", at)).status == 200

    await world.set_status("active")
    assert (await api("POST", f"{at}:resync")).status == 202
    assert (await api("DELETE", at)).status == 202


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

    await hear(world, asked.source_id, "ready")
    await world.put_plan(knowledge={"max_site_pages": 3})
    await api("POST", sources(world, f"/{asked.source_id}:resync"))
    assert (await requests(world))[-1].max_pages == 3  # as the plan is now


async def test_a_plan_does_not_allow_more_than_the_installation(api: Api, world: World) -> None:
    await world.put_plan(knowledge={"max_sources": 4_000})

    assert (await api("GET", sources(world))).body["quota"]["max_sources"] == 3
