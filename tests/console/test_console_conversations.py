"""Conversations: what was asked and disliked is found, read, and deleted."""

from __future__ import annotations

from typing import Any

import axe
import pytest
from browser_stack import sign_in
from console_rig import Rig
from console_rows import new_instance
from playwright.async_api import Page, expect

from console_api.database.tables import Conversation, Turn
from kit.clock import new_id, now_ms
from schemas.conversations import CitedSource

_DAY_MS = 86_400_000


@pytest.fixture
async def signed_in(page: Page, shop: Rig) -> Page:
    await sign_in(page, shop.console_url, await shop.token())
    return page


async def _held(shop: Rig, instance_id: str, title: str, minutes_ago: int, **turn: Any) -> None:
    """Let a visitor have asked something."""
    at_ms, conversation_id = now_ms() - minutes_ago * 60_000, new_id("conv")
    whose = {
        "tenant_id": shop.control.tenant_id,
        "org_id": shop.control.org_id,
        "instance_id": instance_id,
        "conversation_id": conversation_id,
        "expires_at_ms": at_ms + 30 * _DAY_MS,
    }
    said = {"model": "gpt-4o-mini", "status": "completed", "answer": "We do.", "citations": (), **turn}
    async with shop.control.database.writing() as session:
        session.add(
            Conversation(**whose, channel="widget", title=title, turns=1, first_at_ms=at_ms, last_at_ms=at_ms)
        )
        await session.flush()
        session.add(
            Turn(
                **whose,
                **said,
                run_id=new_id("run"),
                question=title,
                redacted=True,
                started_at_ms=at_ms,
                occurred_at_ms=at_ms,
            )
        )


async def test_what_was_disliked_is_found_read_and_deleted(signed_in: Page, shop: Rig) -> None:
    page, instance_id = signed_in, await new_instance(shop, "Talkative")
    for number in range(29):
        await _held(shop, instance_id, f"Question {number}", 10 + number)
    handbook = CitedSource(source_id="src_1", title="Handbook", section="Delivery", page=3)
    await _held(
        shop,
        instance_id,
        "Do you deliver on Sundays?",
        90,
        citations=(handbook,),
        rating="down",
        comment="Not true.",
        rated_at_ms=now_ms(),
    )

    await page.goto(f"{shop.console_url}/account/instances/{instance_id}")
    await page.get_by_role("link", name="Read them").click()
    rows = page.get_by_test_id("conversation")
    await expect(rows).to_have_count(25)
    await expect(rows.first).to_contain_text("Question 0")
    await page.get_by_role("button", name="Show more").click()
    await expect(rows).to_have_count(30)
    assert await axe.violations(page) == []

    await page.get_by_role("button", name="Disliked", exact=True).click()
    await expect(rows).to_have_count(1)
    await expect(rows.get_by_test_id("thumbs-down")).to_contain_text("1 disliked")
    await rows.get_by_role("button", name="Read").click()
    turn = page.get_by_test_id("turn")
    await expect(turn).to_contain_text("We do.")
    await expect(turn.get_by_test_id("citations")).to_have_text("Rests on: Handbook, Delivery, page 3")
    await expect(turn.get_by_test_id("feedback")).to_contain_text("Not true.")
    run = turn.get_by_role("link", name="See the run")
    assert str(await run.get_attribute("href")).endswith(f"?instance={instance_id}")
    assert await axe.violations(page) == []
    await page.get_by_role("button", name="Close").click()

    await rows.get_by_role("button", name="Delete").click()
    await page.get_by_test_id("confirm").click()
    await expect(page.get_by_test_id("no-conversations")).to_contain_text("None was disliked")
    await page.get_by_role("button", name="All", exact=True).click()
    await expect(rows).to_have_count(25)


async def test_conversations_fit_a_phone(signed_in: Page, shop: Rig) -> None:
    page, instance_id = signed_in, await new_instance(shop, "Small")
    await page.set_viewport_size({"width": 390, "height": 844})
    where = f"{shop.console_url}/account/instances/{instance_id}/conversations"
    await page.goto(where)
    await expect(page.get_by_test_id("no-conversations")).to_contain_text("No conversations yet")
    await _held(shop, instance_id, "W" * 120, 1, answer="w" * 900)
    await page.goto(where)
    await page.get_by_test_id("conversation").get_by_role("button", name="Read").click()
    await expect(page.get_by_test_id("turn")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    assert await axe.violations(page) == []
