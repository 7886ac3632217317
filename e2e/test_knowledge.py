"""What a buyer writes: a text, and questions with answers; edited, and found as they are now."""

from __future__ import annotations

from uuid import uuid4

from pages.console import Visit
from playwright.async_api import expect


async def test_what_was_written_is_edited_and_found_anew(visitor: Visit) -> None:
    console = await visitor("ada@example.com")
    page, instance = console.page, await console.first_instance()
    name = f"Ferry {uuid4().hex[:6]}"
    await instance.tab("data")
    await page.get_by_role("button", name="Text", exact=True).click()
    await page.get_by_test_id("text-title").fill(name)
    await page.get_by_test_id("text-body").fill("The ferry to Lundy leaves at seven in the morning.")
    await page.get_by_test_id("add-text").click()
    row = page.get_by_test_id("source").filter(has_text=name)
    await expect(row.get_by_test_id("status")).to_have_text("Ready")

    await row.get_by_role("button", name="Edit").click()
    await expect(page.get_by_test_id("text-body").last).to_have_value(
        "The ferry to Lundy leaves at seven in the morning."
    )
    await page.get_by_test_id("text-body").last.fill("The ferry to Lundy leaves at nine in the evening.")
    await page.get_by_test_id("save-source").click()
    await expect(page.get_by_text("Saved. It is being read.")).to_be_visible()

    await instance.finds("When does the ferry to Lundy leave?", "nine in the evening")
    await instance.forget(name)
    assert console.errors == []


async def test_questions_are_added_together_and_one_is_left_out_later(visitor: Visit) -> None:
    console = await visitor("ada@example.com")
    page, instance = console.page, await console.first_instance()
    mark = uuid4().hex[:6]
    await instance.tab("data")
    await page.get_by_role("button", name="Q&A", exact=True).click()
    form = page.get_by_test_id("pair")
    await form.nth(0).get_by_label("Question").fill(f"Who is the harbour master {mark}?")
    await form.nth(0).get_by_label("Answer").fill("Ms Petrel is the harbour master.")
    await page.get_by_test_id("another-pair").click()
    await form.nth(1).get_by_label("Question").fill("Who mends the lighthouse?")
    await form.nth(1).get_by_label("Answer").fill("Mr Gannet mends the lighthouse.")
    await page.get_by_test_id("add-pairs").click()
    row = page.get_by_test_id("source").filter(has_text=mark)
    await expect(row.get_by_test_id("status")).to_have_text("Ready")
    await instance.finds("Who mends the lighthouse?", "Mr Gannet")

    await row.get_by_role("button", name="Edit").click()
    await page.get_by_role("button", name="Leave out question 2").click()
    answer = page.get_by_role("dialog").get_by_label("Answer")
    await expect(answer).to_have_count(1)
    await answer.fill("Mr Fulmar is the harbour master.")
    await page.get_by_test_id("save-source").click()

    hits = await instance.finds("Who is the harbour master?", "Mr Fulmar")
    await expect(hits).not_to_contain_text("Mr Gannet")
    await instance.forget(mark)
    assert console.errors == []
