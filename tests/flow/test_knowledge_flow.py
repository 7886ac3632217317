"""A real PDF, from the upload to an answer about it and to nothing again, by the public interfaces only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from containers import environment
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from openai import AsyncOpenAI
from test_flow import redis, stored_run, totals_in_redis  # noqa: F401 - `redis` is a fixture
from waiting import PATIENCE_S, eventually

from kit import clickhouse_client
from kit.settings import ClickHouseSettings
from stack.seed import DEMO_ORIGIN

Stack = dict[str, Any]

PAGES = [
    "Delivery to the islands takes nine working days because the ferry sails on Tuesdays only.",
    "Blue herons nest on the roof of the Bergen warehouse every spring.",
    "A return is free of charge within thirty days of delivery.",
]


def pdf(pages: list[str]) -> bytes:
    """Return a PDF with a line of text on each page."""
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    kids = []
    for text in pages:
        stream = f"BT /F1 12 Tf 36 720 Td ({text}) Tj ET"
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 842 792] /Resources << /Font << /F1 3 0 R >> >> "
            f"/Contents {len(objects)} 0 R >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    out, places = "%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n"
    out += "".join(f"{place:010d} 00000 n \n" for place in places)
    out += f"trailer\n<< /Root 1 0 R /Size {len(objects) + 1} >>\nstartxref\n{start}\n%%EOF\n"
    return out.encode("ascii")


class Account:
    """What the demo's owner can do about an instance's knowledge."""

    def __init__(self, stack: Stack, client: httpx.AsyncClient) -> None:
        self.client = client
        self.base = f"{stack['console_api_url']}/api/v1/instances/{stack['demo']['instance_id']}"

    async def __call__(self, method: str, path: str, **sent: Any) -> httpx.Response:
        return await self.client.request(method, f"{self.base}{path}", **sent)

    async def status(self, source_id: str) -> str:
        found = await self("GET", f"/sources/{source_id}")
        return str(found.json()["status"]) if found.status_code == 200 else "gone"

    async def known(self, query: str) -> list[dict[str, Any]]:
        found = await self("POST", "/knowledge:search", json={"query": query, "limit": 3})
        assert found.status_code == 200, found.text
        hits: list[dict[str, Any]] = found.json()["hits"]
        return hits


async def test_a_pdf_is_known_after_its_upload_paid_for_and_unknown_after_its_deletion(
    stack: Stack,
    redis: Any,  # noqa: F811
) -> None:
    before = await totals_in_redis(stack, redis)
    token = {"Authorization": f"Bearer {stack['demo']['admin_token']}"}
    async with httpx.AsyncClient(headers=token, timeout=PATIENCE_S) as client:
        account = Account(stack, client)
        assert await account.known("how long does delivery to the islands take") == []

        made = await account("POST", "/sources:upload", files={"file": ("Terms.pdf", pdf(PAGES))})
        assert made.status_code == 201, made.text
        source_id = made.json()["source_id"]

        async def ready() -> bool:
            status = await account.status(source_id)
            assert status != "failed"
            return status == "ready"

        await eventually(ready, "the PDF is ready")
        shown = (await account("GET", f"/sources/{source_id}")).json()
        assert (shown["pages"], shown["chunks"]) == (3, 3)
        read = (await account("GET", f"/sources/{source_id}/chunks?begin=1&limit=1")).json()
        assert (read["version"], read["total"]) == (1, 3)
        assert [(piece["ordinal"], piece["page"], piece["text"]) for piece in read["chunks"]] == [
            (1, 2, PAGES[1])
        ]
        for number, query in enumerate(["islands ferry", "where do birds nest", "money back for returns"], 1):
            best = (await account.known(query))[0]
            assert (best["page"], best["title"], best["source_id"]) == (number, "Terms.pdf", source_id)

        async def counted() -> bool:
            now = await totals_in_redis(stack, redis)
            return now.get("tokens_in", 0) - before.get("tokens_in", 0) == shown["tokens"] > 0

        await eventually(counted, "what was embedded is metered")

        assert (await account("DELETE", f"/sources/{source_id}")).status_code == 202

        async def gone() -> bool:
            return await account.status(source_id) == "gone"

        await eventually(gone, "the source is deleted")
        assert await account.known("islands ferry") == []
        assert await rows_of(stack, source_id) == 0


ISLANDS = "How long does delivery to the islands take?"
ANSWER = "nine working days"


@dataclass(frozen=True)
class Told:
    """What a channel told of an answer."""

    run_id: str
    text: str
    citations: list[dict[str, Any]]


async def by_rest(stack: Stack, client: httpx.AsyncClient) -> Told:
    asked = await client.post(
        f"{stack['gateway_url']}/v1/runs",
        json={"input": ISLANDS},
        headers={"X-API-Key": stack["demo"]["api_key"]},
    )
    assert asked.status_code == 200, asked.text
    return Told(asked.json()["run_id"], asked.json()["output"], asked.json().get("citations", []))


async def by_openai(stack: Stack) -> Told:
    async with AsyncOpenAI(base_url=f"{stack['gateway_url']}/v1", api_key=stack["demo"]["api_key"]) as client:
        answer = await client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": ISLANDS}]
        )
    cited: Any = (answer.model_extra or {}).get("citations", [])
    return Told(answer.id, str(answer.choices[0].message.content), cited)


async def by_mcp(stack: Stack, key: str) -> Told:
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE_S) as http,
        Client(streamable_http_client(f"{stack['gateway_url']}/v1/mcp", http_client=http)) as client,
    ):
        result = await client.call_tool("ask", {"question": ISLANDS})
    told: Any = result.structured_content
    return Told(told["run_id"], result.content[0].text, told["citations"])  # type: ignore[union-attr]


async def by_widget(stack: Stack, client: httpx.AsyncClient) -> Told:
    page = {"Origin": DEMO_ORIGIN}
    begun = await client.post(
        f"{stack['gateway_url']}/v1/widget/session:init",
        json={},
        headers={**page, "X-API-Key": stack["demo"]["widget_key"]},
    )
    assert begun.status_code == 200, begun.text
    asked = await client.post(
        f"{stack['gateway_url']}/v1/runs",
        json={"input": ISLANDS},
        headers={**page, "Authorization": f"Bearer {begun.json()['session_token']}"},
    )
    assert asked.status_code == 200, asked.text
    return Told(asked.json()["run_id"], asked.json()["output"], asked.json().get("citations", []))


async def test_every_channel_answers_from_a_document_is_metered_as_itself_and_forgets_it(
    stack: Stack,
) -> None:
    token = {"Authorization": f"Bearer {stack['demo']['admin_token']}"}
    async with (
        httpx.AsyncClient(headers=token, timeout=PATIENCE_S) as owner,
        httpx.AsyncClient(timeout=PATIENCE_S) as anybody,
    ):
        account = Account(stack, owner)
        key = (await account("POST", "/api_keys", json={"kind": "mcp", "name": "Assistant"})).json()
        made = await account("POST", "/sources:upload", files={"file": ("Delivery.pdf", pdf(PAGES))})
        source_id = made.json()["source_id"]

        async def ready() -> bool:
            return await account.status(source_id) == "ready"

        await eventually(ready, "the PDF is ready")
        answers = {
            "api": await by_rest(stack, anybody),
            "openai": await by_openai(stack),
            "mcp": await by_mcp(stack, key["key"]),
            "widget": await by_widget(stack, anybody),
        }
        for channel, told in answers.items():
            assert ANSWER in told.text
            # The page that it quotes, of those that it was given, and no other.
            assert [(one["title"], one["page"]) for one in told.citations] == [("Delivery.pdf", 1)]
            assert f"[{told.citations[0]['number']}]" in told.text
            run_id = told.run_id
            status, tokens_in, tokens_out, _, charged = await stored_run(stack, run_id)
            assert (status, await channel_of(stack, run_id)) == ("completed", channel)
            assert min(tokens_in, tokens_out, charged) > 0

        await account("DELETE", f"/sources/{source_id}")

        async def gone() -> bool:
            return await account.status(source_id) == "gone"

        await eventually(gone, "the source is deleted")
        told = await by_rest(stack, anybody)
        assert ANSWER not in told.text
        assert told.citations == []


async def channel_of(stack: Stack, run_id: str) -> str:
    async with await clickhouse_client.connect(ClickHouseSettings(url=stack["clickhouse_url"])) as client:
        found = await client.query(
            "SELECT channel FROM runs FINAL WHERE run_id = {run:String} AND status != 'started'",
            parameters={"run": run_id},
        )
    return str(found.result_rows[0][0])


async def rows_of(stack: Stack, source_id: str) -> int:
    settings = ClickHouseSettings(url=stack["clickhouse_url"])
    async with await clickhouse_client.connect(settings) as client:
        found = await client.query(
            "SELECT count() FROM knowledge_chunks WHERE source_id = {id:String}", parameters={"id": source_id}
        )
    return int(found.result_rows[0][0])


async def test_bytes_that_are_no_document_say_so_to_their_owner(stack: Stack) -> None:
    token = {"Authorization": f"Bearer {stack['demo']['admin_token']}"}
    async with httpx.AsyncClient(headers=token, timeout=PATIENCE_S) as client:
        account = Account(stack, client)
        made = await account(
            "POST", "/sources:upload", content=b"MZ\x90\x00\x03\x00", headers={"X-Filename": "setup.exe"}
        )
        source_id = made.json()["source_id"]

        async def failed() -> bool:
            return await account.status(source_id) == "failed"

        await eventually(failed, "the file is refused")
        shown = (await account("GET", f"/sources/{source_id}")).json()

    assert shown["error_code"] == "unsupported_type"
    assert "use PDF" in shown["error"]


async def test_200_mb_are_refused_with_the_limit_and_leave_nothing(stack: Stack) -> None:
    sent = 0

    async def file() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 200_000_000:
            sent += 1_000_000
            yield bytes(1_000_000)

    token = {"Authorization": f"Bearer {stack['demo']['admin_token']}"}
    blobs = Path(stack["data_dir"]) / "blobs"
    async with httpx.AsyncClient(headers=token, timeout=120) as client:
        account = Account(stack, client)
        before = (await account("GET", "/sources")).json()
        kept = set(blobs.iterdir()) if blobs.exists() else set()

        refused = await account("POST", "/sources:upload", content=file(), headers={"X-Filename": "big.pdf"})

        assert refused.status_code == 413, refused.text
        assert (refused.json()["code"], refused.json()["limit_bytes"]) == ("body_too_large", 104_857_600)
        assert (await account("GET", "/sources")).json()["quota"] == before["quota"]
    assert not blobs.exists() or set(blobs.iterdir()) <= kept


@pytest.mark.parametrize("path", ["readyz", "metrics"])
async def test_the_worker_can_be_watched(stack: Stack, path: str) -> None:
    port = environment(Path(stack["data_dir"]))["RUNMETER_EMBEDDED_INGESTION_OPS_PORT"]
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/{path}")

    assert answer.status_code == 200
    assert path == "readyz" or "runmeter_ingestion_sources_total" in answer.text
