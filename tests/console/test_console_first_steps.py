"""The first steps with an instance tick themselves when they were done, and not before. And uploading."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
from browser_stack import sign_in
from console_rig import Rig
from console_rows import key_row, source_row
from control_world import projected
from playwright.async_api import Page, expect
from waiting import PATIENCE_S

from console import session_keys
from console.edge import MAX_FILE_BYTES
from kit.clock import now_ms

#: The list of steps looks again by itself every ten seconds.
_PATIENCE_MS = PATIENCE_S * 1_000


async def _instance(shop: Rig, name: str) -> str:
    instance_id = await shop.control.add_instance(name)
    await projected(shop.redis, instance_id)
    return instance_id


async def test_steps_are_done_by_what_was_done(page: Page, shop: Rig) -> None:
    instance_id = await _instance(shop, "Just begun")
    # A document that could not be read, and the run that tried to; a chat that was opened, and not asked.
    await shop.world.count(instance_id=instance_id, started=1, runs=1, completed=1)
    async with shop.control.database.writing() as session:
        session.add(source_row(shop, instance_id, status="failed", error="It is empty."))
        session.add(key_row(shop, instance_id, session_keys.CHAT, last_used_at_ms=0))
    await sign_in(page, shop.console_url, await shop.token())
    await page.goto(f"{shop.console_url}/account/instances/{instance_id}")
    steps = page.get_by_test_id("step")
    taught, tested = steps.filter(has_text="Add knowledge"), steps.filter(has_text="Test the chat")
    await expect(taught).to_have_attribute("data-state", "open")
    await expect(tested).to_have_attribute("data-state", "open")

    async with shop.control.database.writing() as session:
        session.add(source_row(shop, instance_id, ready_at_ms=now_ms()))
        over = {"last_used_at_ms": 5, "expires_at_ms": 6}
        session.add(key_row(shop, instance_id, session_keys.CHAT, **over))

    for step in (taught, tested):
        await expect(step).to_have_attribute("data-state", "done", timeout=_PATIENCE_MS)


async def _too_much() -> AsyncIterator[bytes]:
    yield b'--part\r\nContent-Disposition: form-data; name="file"; filename="b.txt"\r\n\r\n'
    for _ in range(MAX_FILE_BYTES // 65_536 + 2):
        yield bytes(65_536)


async def test_a_file_is_taken_unless_it_is_too_big(page: Page, shop: Rig) -> None:
    instance_id = await _instance(shop, "To be taught")
    await sign_in(page, shop.console_url, await shop.token())
    await page.goto(f"{shop.console_url}/account/instances/{instance_id}/data")
    chooser = page.get_by_test_id("upload").locator("input[type=file]")

    async with page.expect_request("**/upload/**") as sent:
        await chooser.set_input_files([{"name": "a.txt", "mimeType": "text/plain", "buffer": b"Hello"}])
    await expect(page.get_by_test_id("source").filter(has_text="a.txt")).to_be_visible()

    url = (await sent.value).url
    cookies = {one["name"]: one["value"] for one in await page.context.cookies()}
    form = {"Content-Type": "multipart/form-data; boundary=part"}
    async with (
        aiohttp.ClientSession(cookies=cookies, headers=form) as http,
        http.post(url, data=_too_much()) as answer,
    ):
        assert answer.status == 413
        assert "at most 25 MB" in await answer.text()
