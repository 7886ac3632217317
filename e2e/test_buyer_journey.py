"""From an empty account to an agent that answers from the buyer's own document, on the buyer's own page."""

from __future__ import annotations

import aiohttp
from documents import pdf
from elsewhere import elsewhere
from pages.console import Visit
from pages.instance import InstancePage
from playwright.async_api import expect

NEWCOMER = "grace@example.com"
PAGES = [
    "Delivery to the islands takes nine working days because the ferry sails on Tuesdays only.",
    "A return is free of charge within thirty days of delivery.",
]


async def test_a_buyer_goes_all_the_way(visitor: Visit, http: aiohttp.ClientSession) -> None:
    console = await visitor(NEWCOMER)
    page = console.page

    # Bought: from the empty list to a key that is shown once.
    await console.open("/account/instances")
    await page.get_by_test_id("new-instance").click()
    await console.shop().buy("Starter")
    await page.get_by_test_id("reveal-key").click()
    key = await page.get_by_test_id("new-key").inner_text()
    await page.get_by_role("button", name="I have copied it").click()
    await expect(page.get_by_test_id("reveal-key")).to_have_count(0)
    await page.get_by_test_id("open-instance").click()
    await expect(page.get_by_test_id("status").first).to_have_text("Active")
    instance = InstancePage(page, console.target, page.url.removeprefix(console.target.base_url))
    await expect(page.get_by_test_id("checklist")).to_be_visible()
    assert await instance.steps_done() == ["Create a key"]

    # Named.
    await instance.tab("branding")
    await page.get_by_test_id("config-title").fill("Island parcels")
    await page.get_by_test_id("save-config").click()
    await expect(page.get_by_text("Saved").first).to_be_visible()

    # Taught: what its document says is found, with the page it stands on.
    await instance.upload("delivery.pdf", "application/pdf", pdf(PAGES))
    hits = await instance.search("How long does delivery to the islands take?")
    await expect(hits).to_contain_text("nine working days")
    await expect(hits).to_contain_text("page 1")
    await page.get_by_role("button", name="Look inside").click()
    await expect(page.get_by_test_id("pieces")).to_contain_text("nine working days")
    await page.get_by_role("button", name="Close").click()
    await expect(page.get_by_test_id("pieces")).to_have_count(0)

    # Tested: the answer comes from the document, and says so.
    answer = await instance.ask("How long does delivery to the islands take?")
    await expect(answer).to_contain_text("nine working days")
    await expect(page.get_by_test_id("chat-sources").last).to_contain_text("delivery.pdf")
    await expect(page.get_by_test_id("chat-facts").last).to_contain_text("credits")

    # Called from the buyer's own code.
    body, headers = {"input": "Is a return free of charge?"}, {"X-API-Key": key}
    async with http.post(f"{console.target.gateway_url}/v1/runs", json=body, headers=headers) as called:
        answered = await called.json()
    assert (called.status, "thirty days" in answered["output"]) == (200, True)

    # Embedded: the widget answers visitors of a page elsewhere.
    async with elsewhere() as shop:
        shop.snippet = await instance.add_widget(shop.origin)
        guest = await page.context.new_page()
        await guest.goto(shop.origin)
        await guest.get_by_role("button", name="Open the chat").click()
        await expect(guest.get_by_role("heading", name="Island parcels")).to_be_visible()
        await guest.get_by_label("Your message").fill("How long does delivery to the islands take?")
        await guest.keyboard.press("Enter")
        await expect(guest.locator(".message.assistant").last).to_contain_text("nine working days")
        await guest.close()

    # All steps are done, by themselves; and every run so far is in the figures: to read the document was one.
    await instance.tab("")
    await expect(page.get_by_test_id("runs")).to_have_text("4")
    await expect(page.get_by_test_id("checklist")).to_have_count(0)
    assert console.errors == []


async def test_what_another_organisation_has_is_nowhere_to_be_found(visitor: Visit) -> None:
    mine = await visitor("ada@example.com")
    instance = await mine.first_instance()
    answer = await instance.ask("Hello, who are you?")
    assert await answer.inner_text()
    link = mine.page.get_by_test_id("chat-facts").last.get_by_role("link", name="See the run")
    run_path = await link.get_attribute("href")
    theirs = await visitor(NEWCOMER)
    await theirs.open("/account/instances")
    for name in ("Research assistant", "Sales concierge", "Support agent"):
        await expect(theirs.page.get_by_text(name, exact=True)).to_have_count(0)
    await theirs.open(instance.path)
    await expect(theirs.page.get_by_test_id("not-found")).to_be_visible()
    await theirs.open(str(run_path))
    await expect(theirs.page.get_by_test_id("timeline")).to_have_count(0)
    await expect(theirs.page.get_by_test_id("open-chat")).to_have_count(0)


async def test_a_viewer_looks_and_changes_nothing(visitor: Visit) -> None:
    viewer = await visitor("vic@example.com")
    instance = await viewer.first_instance()
    await instance.tab("channels")
    await viewer.page.get_by_test_id("create-key").click()
    await viewer.page.get_by_test_id("key-create").click()
    await expect(viewer.page.get_by_text("takes the role member")).to_be_visible()


async def test_the_widget_is_seen_at_work_where_it_is_set_up(visitor: Visit) -> None:
    console = await visitor("ada@example.com")
    instance = await console.first_instance()
    await instance.tab("channels")
    await console.page.get_by_test_id("show-preview").click()
    # As a visitor scrolls it: what floats in the page's corner is not over it then.
    frame = console.page.get_by_test_id("widget-frame")
    await frame.evaluate("frame => frame.scrollIntoView({ block: 'center' })")
    widget = console.page.frame_locator("[data-testid=widget-frame]")
    await widget.get_by_role("button", name="Open the chat").click()
    await widget.get_by_label("Your message").fill("Hello")
    await widget.get_by_label("Your message").press("Enter")
    await expect(widget.locator(".message.assistant").last).not_to_have_text("")
    assert console.errors == []
