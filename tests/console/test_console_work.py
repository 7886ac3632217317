"""Working in the console: settings, keys, buying, the wallet, usage. The whole API, a real browser."""

from __future__ import annotations

import csv
import io
import re
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import aiohttp
import pytest
from browser_stack import console_process, free_port, sign_in
from console_rig import CREDIT, Rig
from control_world import projected
from fake_issuer import issuer
from playwright.async_api import Browser, Page, expect
from waiting import eventually, patient

from kit.clock import new_id, now_ms


@pytest.fixture
async def signed_in(page: Page, shop: Rig) -> Page:
    await sign_in(page, shop.console_url, await shop.token())
    return page


def _tab(shop: Rig, tab: str) -> str:
    return f"{shop.console_url}/account/instances/{shop.world.instance_id}/{tab}"


async def test_branding_is_previewed_saved_and_kept(signed_in: Page, shop: Rig) -> None:
    page = signed_in
    await page.goto(_tab(shop, "branding"))
    await page.get_by_label("Title").fill("Ada's shop")
    await page.get_by_label("Greeting").fill("Welcome in!")
    preview = page.get_by_test_id("branding-preview")
    await expect(preview).to_contain_text("Ada's shop")
    await expect(preview).to_contain_text("Welcome in!")
    await page.get_by_test_id("save-config").click()
    await expect(page.get_by_text("Saved.")).to_be_visible()

    await page.reload()
    await expect(page.get_by_label("Title")).to_have_value("Ada's shop")
    await page.goto(_tab(shop, ""))
    await expect(page.get_by_test_id("step").filter(has_text="Name and branding")).to_have_attribute(
        "data-state", "done"
    )


async def test_saving_over_somebody_elses_change_is_refused(signed_in: Page, shop: Rig) -> None:
    page = signed_in
    await page.goto(_tab(shop, "branding"))
    await expect(page.get_by_label("Instance name")).to_have_value("Support agent")
    other = await page.context.new_page()
    await other.goto(_tab(shop, "branding"))
    await other.get_by_label("Greeting").fill("Changed by another")
    await other.get_by_test_id("save-config").click()
    await expect(other.get_by_text("Saved.")).to_be_visible()

    await page.get_by_label("Greeting").fill("Mine")
    await page.get_by_test_id("save-config").click()

    await expect(page.get_by_text("Somebody else saved in the meantime")).to_be_visible()


async def test_an_instance_is_ended_for_good_by_its_owner(signed_in: Page, shop: Rig) -> None:
    page = signed_in
    instance_id = await shop.control.add_instance("Soon ended")
    await projected(shop.redis, instance_id)
    branding = f"{shop.console_url}/account/instances/{instance_id}/branding"
    await page.goto(branding)
    await page.get_by_test_id("end-instance").click()
    await expect(page.get_by_role("dialog", name="End ")).to_contain_text("cannot be undone")
    await page.get_by_test_id("confirm").click()
    await expect(page).to_have_url(f"{shop.console_url}/account/instances")

    async def ended() -> bool:
        return (await projected(shop.redis, instance_id)).status == "ended"

    await eventually(ended, "gateways know of the end")
    await page.goto(branding)
    await expect(page.get_by_test_id("save-config")).to_be_visible()
    await expect(page.get_by_test_id("end-instance")).to_have_count(0)


async def test_a_key_is_shown_once_rotated_and_revoked(signed_in: Page, shop: Rig) -> None:
    page = signed_in
    await page.goto(_tab(shop, "channels"))
    await page.get_by_test_id("create-key").click()
    await page.get_by_label("Name", exact=True).fill("Backend")
    await page.get_by_test_id("key-create").click()
    shown = await page.get_by_test_id("new-key").inner_text()
    assert shown.startswith("rm_sk_")
    assert await _opens(shop, shown)
    await page.get_by_test_id("copied").click()
    row = page.get_by_test_id("key").filter(has_text="Backend")
    await expect(row).to_contain_text("Active")
    await expect(page.get_by_test_id("new-key")).to_have_count(0)
    assert shown not in await page.content()

    await row.get_by_role("button", name="Rotate Backend").click()
    await page.get_by_test_id("confirm").click()
    await expect(page.get_by_test_id("new-key")).not_to_have_text(shown)
    await page.get_by_test_id("copied").click()
    await expect(row).to_have_count(2)

    await row.last.get_by_role("button", name="Revoke Backend").click()
    await page.get_by_test_id("confirm").click()
    await expect(row.filter(has_text="Revoked")).to_have_count(1)
    assert not await _opens(shop, shown)


async def _opens(shop: Rig, key: str) -> bool:
    headers = {"Authorization": "Bearer service-token"}
    url = f"{shop.api_url}/api/v1/api_keys:introspect"
    async with aiohttp.ClientSession() as http, http.post(url, json={"key": key}, headers=headers) as answer:
        return bool((await answer.json())["active"])


async def test_a_widget_names_its_origins_and_gives_its_snippet(signed_in: Page, shop: Rig) -> None:
    page = signed_in
    await page.goto(_tab(shop, "channels"))
    await page.get_by_test_id("add-widget").click()
    await page.get_by_label("Allowed origins").fill("http://shop.example.com")
    await page.get_by_test_id("widget-create").click()
    await expect(page.get_by_text("an origin is https://host")).to_be_visible()
    await page.get_by_label("Allowed origins").fill("https://shop.example.com")
    await page.get_by_test_id("widget-create").click()
    await expect(page.get_by_test_id("snippet")).to_contain_text('data-key="rm_wk_')
    await page.get_by_test_id("copied").click()
    await expect(page.get_by_test_id("origins")).to_have_text("https://shop.example.com")


async def test_buying_an_agent_ends_in_an_instance_with_its_key(signed_in: Page, shop: Rig) -> None:
    page = signed_in
    await page.get_by_test_id("new-instance").click()
    await page.get_by_test_id("plan").filter(has_text="Starter").get_by_test_id("buy").click()
    await page.get_by_test_id("order").click()
    await expect(page.get_by_test_id("order-status")).to_have_text("Pending")
    await page.get_by_test_id("pay").click()
    await expect(page.get_by_test_id("order-status")).to_have_text("Paid")
    await shop.deliver_grants()
    await expect(page.get_by_test_id("order-status")).to_have_text("Provisioned")
    await page.get_by_test_id("reveal-key").click()
    await expect(page.get_by_test_id("new-key")).to_contain_text("rm_sk_")
    await page.get_by_role("button", name="I have copied it").click()
    await expect(page.get_by_test_id("reveal-key")).to_have_count(0)
    await page.get_by_test_id("open-instance").click()
    await expect(page.get_by_test_id("status")).to_have_text("Active")

    await page.goto(f"{shop.console_url}/account/orders")
    await expect(page.get_by_test_id("order-row").first).to_contain_text("$19.00")
    bought = page.get_by_test_id("subscription").filter(has_text="Starter").first
    await expect(bought).to_contain_text("Active")


async def test_a_bank_transfer_waits_for_an_operator(signed_in: Page, shop: Rig) -> None:
    page = signed_in
    await page.goto(f"{shop.console_url}/account/buy?kind=credits")
    await page.get_by_test_id("buy").click()
    await page.get_by_label("Pay with").click()
    await page.get_by_role("option", name="Bank transfer").click()
    await page.get_by_test_id("order").click()
    await expect(page.get_by_test_id("order-status")).to_have_text("Pending")
    await expect(page.get_by_test_id("mark_paid")).to_have_count(0)

    assert page.context.browser is not None
    desk = patient(await page.context.browser.new_context(locale="en-US"))
    operator = await desk.new_page()
    await operator.goto(shop.console_url)
    await operator.get_by_label("Access token").fill(await shop.token("operator", ""))
    await operator.keyboard.press("Enter")
    await operator.wait_for_url("**/account/instances")
    await operator.goto(f"{shop.console_url}/operate/orders")
    theirs = operator.get_by_test_id("order-row").filter(has_text="A buyer").filter(has_text="Pending").first
    await theirs.get_by_role("link").click()
    await operator.wait_for_url(page.url)
    # Whose it is, and nothing that only its buyer may do.
    await expect(operator.get_by_test_id("mark_paid")).to_be_visible()
    await expect(operator.get_by_text("A buyer", exact=True)).to_be_visible()
    await expect(operator.get_by_role("button", name="Cancel the order")).to_have_count(0)
    await operator.get_by_test_id("mark_paid").click()
    await operator.get_by_label("Reason").fill("Seen on the statement")
    await operator.get_by_test_id("confirm").click()
    await expect(page.get_by_test_id("order-status")).to_have_text("Paid")
    await shop.deliver_grants()
    await expect(page.get_by_test_id("order-status")).to_have_text("Provisioned")
    await desk.close()


async def test_the_wallet_shows_buckets_and_a_ledger_that_can_be_taken_away(
    signed_in: Page, shop: Rig
) -> None:
    page, now = signed_in, now_ms()
    await shop.world.settle(
        shop.world.issue("grant_plan", 100, kind="plan", priority=10, expires_at_ms=now + 86_400_000),
        shop.world.issue("grant_pack", 50),
        charged=30 * CREDIT,
    )
    await shop.use(days=2)
    await page.goto(f"{shop.console_url}/account/wallet")
    await expect(page.get_by_test_id("available")).to_have_text("120.00")
    await expect(page.get_by_test_id("bucket")).to_have_count(2)
    await expect(page.get_by_test_id("bucket").first).to_contain_text("Plan")
    usage = page.get_by_test_id("entry").filter(has_text="Usage").first
    await expect(usage).to_be_visible()

    await page.get_by_label("Kind").click()
    await page.get_by_role("option", name="Usage").click()
    await expect(page.get_by_test_id("entry").filter(has_not_text="Usage")).to_have_count(0)
    async with page.expect_download() as started:
        await page.get_by_test_id("ledger-csv").click()
    lines = _lines(await (await started.value).path())
    assert len(lines) > 5
    assert all(line["kind"] == "usage" for line in lines)

    await usage.get_by_role("link").click()
    await expect(page.get_by_test_id("timeline")).to_contain_text("Admitted")

    await page.goto(f"{shop.console_url}/account/wallet")
    # What comes in moves the page, and a list that was opened meanwhile closes.
    await expect(page.get_by_test_id("entry").first).to_be_visible()
    await page.get_by_label("Kind").click()
    await page.get_by_role("option", name="Refund").click()
    await expect(page.get_by_test_id("no-entries")).to_be_visible()


def _lines(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(Path(path).read_text())))


async def test_usage_is_drawn_grouped_and_forecast(signed_in: Page, shop: Rig) -> None:
    page = signed_in
    await shop.world.settle(shop.world.issue("grant_forecast", 200))
    await shop.use(days=3, seed=11)
    await page.goto(_tab(shop, "usage"))
    await expect(page.get_by_test_id("forecast")).to_contain_text("At the pace of the last 7 days")
    await expect(page.get_by_test_id("history-runs").locator("canvas")).to_be_visible()
    all_runs = await page.get_by_test_id("usage-row").last.locator("td").nth(1).inner_text()
    assert int(all_runs.replace(",", "")) > 10
    await page.get_by_role("button", name="Model", exact=True).click()
    await expect(page.get_by_test_id("usage-row").filter(has_text="gpt-4o-mini")).to_be_visible()
    await expect(page.get_by_test_id("history-tokens-in").locator("canvas")).to_be_visible()
    # Screen readers are told credits, as everybody else.
    words = page.get_by_test_id("words-credits")
    await expect(words).to_have_text(re.compile(r"gpt-4o-mini [\d,]+\.\d\d"))

    await page.get_by_role("button", name="Live", exact=True).click()
    await expect(page.get_by_role("group", name="Group by")).to_be_hidden()
    await page.get_by_role("button", name="7 days", exact=True).click()
    await expect(page.get_by_role("group", name="Group by")).to_be_visible()

    async with page.expect_download() as started:
        await page.get_by_test_id("usage-csv").click()
    lines = _lines(await (await started.value).path())
    assert {line["group"] for line in lines} == {"gpt-4o", "gpt-4o-mini"}

    await page.get_by_label("Credits a day").fill("25")
    await page.get_by_test_id("save-limits").click()
    await expect(page.get_by_text("Limits saved.")).to_be_visible()
    await page.reload()
    await expect(page.get_by_label("Credits a day")).to_have_value("25")


async def test_somebody_is_invited_and_the_audit_log_says_so(signed_in: Page, shop: Rig) -> None:
    page = signed_in
    await page.goto(f"{shop.console_url}/account/team")
    await page.get_by_test_id("invite").click()
    await page.get_by_test_id("invite-email").fill("bob@example.com")
    await page.get_by_test_id("send-invitation").click()
    bob = page.get_by_test_id("invitation").filter(has_text="bob@example.com")
    await expect(bob).to_be_visible()

    await page.goto(f"{shop.console_url}/account/audit")
    await expect(page.get_by_test_id("audit-entry").first).to_contain_text("bob@example.com")

    await page.goto(f"{shop.console_url}/account/team")
    await page.get_by_role("button", name="Take back the invitation of bob@example.com").click()
    await expect(bob).to_have_count(0)


async def test_a_viewer_sees_and_is_refused_what_a_viewer_may_not(page: Page, shop: Rig) -> None:
    await sign_in(page, shop.console_url, await shop.token("viewer"))
    await page.goto(_tab(shop, "channels"))
    await page.get_by_test_id("create-key").click()
    await page.get_by_test_id("key-create").click()
    await expect(page.get_by_role("alert").last).to_contain_text(
        "To change keys takes the role member in your org"
    )


async def test_without_a_gateway_the_chat_says_so(signed_in: Page, shop: Rig) -> None:
    page = signed_in
    await page.goto(_tab(shop, "connectors"))
    await page.get_by_test_id("open-chat").click()
    await page.get_by_label("Message").fill("Hello")
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("chat-answer")).to_contain_text("cannot be reached")
    assert "rm_sk_" not in await page.content()


async def test_a_new_conversation_waits_for_no_answer_of_the_old_one(signed_in: Page, shop: Rig) -> None:
    page = signed_in
    await page.goto(_tab(shop, "data"))
    await page.get_by_test_id("open-chat").click()
    await page.get_by_label("Message").fill("The old question")
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("chat-question")).to_have_text("The old question")
    await page.get_by_role("button", name="New conversation").click()
    await expect(page.get_by_test_id("chat-question")).to_have_count(0)

    await page.get_by_label("Message").fill("A new one")
    await page.keyboard.press("Enter")

    await expect(page.get_by_test_id("chat-question")).to_have_text("A new one")
    await expect(page.get_by_test_id("chat-answer")).to_contain_text("cannot be reached")


async def test_the_ledgers_dates_are_the_visitors(browser: Browser, shop: Rig) -> None:
    # There a day begins 14 hours before it does in UTC.
    context = patient(await browser.new_context(timezone_id="Pacific/Kiritimati", locale="en-US"))
    page, zone = await context.new_page(), ZoneInfo("Pacific/Kiritimati")
    day = datetime.now(zone).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    name = new_id("early")
    early = shop.world.entry(name, -1, occurred_at_ms=int(day.timestamp() * 1000) + 3_600_000)
    await shop.world.record(shop.clickhouse, early)
    await sign_in(page, shop.console_url, await shop.token())
    await page.goto(f"{shop.console_url}/account/wallet?about={name}")
    await expect(page.get_by_test_id("entry")).to_have_count(1)

    await page.get_by_label("Before").fill(f"{day:%Y-%m-%d}")
    await expect(page.get_by_test_id("no-entries")).to_be_visible()
    await page.get_by_label("Before").fill("")
    await page.get_by_label("From").fill(f"{day:%Y-%m-%d}")
    await expect(page.get_by_test_id("entry")).to_have_count(1)
    await context.close()


async def test_signing_in_with_an_issuer_and_out_of_it(page: Page, shop: Rig, tmp_path: Path) -> None:
    async with issuer(await shop.token()) as at:
        port = free_port()
        base = f"http://127.0.0.1:{port}"
        settings = {
            "RUNMETER_CONSOLE_OIDC_ISSUER": at.url,
            "RUNMETER_CONSOLE_BASE_URL": base,
        }
        async with console_process(shop.api_url, tmp_path, settings=settings, port=port):
            await page.goto(f"{base}/account/wallet")
            await page.get_by_test_id("submit").click()
            await expect(page).to_have_url(f"{base}/account/wallet")
            await expect(page.get_by_role("heading", name="Wallet")).to_be_visible()
            assert at.access_token not in await page.content()
            assert all(at.access_token not in str(cookie) for cookie in await page.context.cookies())

            await page.get_by_role("button", name="Sign out").click()
            await expect(page).to_have_url(f"{base}/sign-in")
            assert len(at.ended) == 1
            await page.goto(f"{base}/account/wallet")
            await expect(page).to_have_url(f"{base}/sign-in?next=%2Faccount%2Fwallet")
