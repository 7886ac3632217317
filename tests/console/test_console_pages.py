"""The console in a real browser, over the real API and stores."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
from browser_stack import console_process, free_port, sign_in
from clickhouse_connect.driver.asyncclient import AsyncClient
from console_stack import serving
from console_world import CREDIT, World
from playwright.async_api import Browser, Page, expect
from waiting import PATIENCE_S, patient

from console_api.app import Config


async def test_a_visitor_signs_in_with_a_token_and_out_again(
    page: Page, console_url: str, world: World
) -> None:
    await page.goto(f"{console_url}/account/instances")
    await expect(page).to_have_url(f"{console_url}/sign-in")
    await page.get_by_label("Access token").fill("wrong")
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("sign-in-error")).to_have_text("This access token is not valid.")

    await sign_in(page, console_url, world.token)
    await expect(page.get_by_role("heading", name="My Instances")).to_be_visible()
    assert world.token not in await page.content()

    await page.get_by_role("button", name="Sign out").click()
    await expect(page).to_have_url(f"{console_url}/sign-in")


async def test_my_instances_are_real_and_can_be_searched(page: Page, console_url: str, world: World) -> None:
    await world.grant(10 * CREDIT)
    await world.count(started=3, runs=3, completed=3, tokens_in=1_000, tokens_out=500, charged=2 * CREDIT)
    await world.add_instance("Invoice reader")

    await sign_in(page, console_url, world.token)

    cards = page.get_by_test_id("instance")
    await expect(cards).to_have_count(2)
    support = cards.filter(has_text="Support agent")
    await expect(support.get_by_test_id("runs")).to_have_text("3")
    await expect(support.get_by_test_id("tokens")).to_have_text("1,500")
    await expect(support.get_by_test_id("credits-left")).to_have_text("8.00")

    await page.get_by_label("Search instances").fill("invoice")
    await expect(cards).to_have_count(1)
    await page.get_by_label("Search instances").fill("nothing like it")
    await expect(page.get_by_test_id("empty")).to_contain_text("“nothing like it”")
    await page.get_by_label("Search instances").fill("nor this")
    await expect(page.get_by_test_id("empty")).to_contain_text("“nor this”")
    await page.get_by_label("Search instances").fill("")
    await expect(cards).to_have_count(2)

    # Figures follow without a reload, and focus stays where it was.
    await support.focus()
    await world.count(started=1, runs=1, completed=1)
    await expect(support.get_by_test_id("runs")).to_have_text("4")
    await expect(support).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{console_url}/account/instances/{world.instance_id}")


async def test_an_org_without_instances_is_told_so(page: Page, console_url: str, world: World) -> None:
    await world.add_token("token-of-an-empty-org", f"{world.org_id}-empty")
    await sign_in(page, console_url, "token-of-an-empty-org")
    await expect(page.get_by_test_id("empty")).to_contain_text("No instances yet")


async def test_the_live_page_moves_without_a_reload(
    page: Page, console_url: str, world: World, clickhouse: AsyncClient
) -> None:
    outside: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: outside.append(request.url) if _is_outside(request.url) else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    await world.grant(10 * CREDIT)
    await sign_in(page, console_url, world.token)
    await page.get_by_test_id("instance").click()
    await expect(page.get_by_test_id("connection-state")).to_have_text("Live")
    await expect(page.get_by_test_id("balance")).to_have_text("10.00")
    await expect(page.get_by_test_id("summary-tokens")).to_contain_text("Tokens in 0")
    await page.evaluate("window.neverReloaded = true")

    run = world.run(charged_micro=250_000)
    await world.count(
        run.started_at_ms, started=1, runs=1, completed=1, tokens_in=1_200, duration_ms=900, charged=250_000
    )
    await world.hold("run_2", 500_000)
    await expect(page.get_by_test_id("tokens-in")).to_have_text("1,200")

    await expect(page.get_by_test_id("runs")).to_have_text("1")
    await expect(page.get_by_test_id("success-rate")).to_have_text("100.0%")
    await expect(page.get_by_test_id("credits-used")).to_have_text("0.25")
    await expect(page.get_by_test_id("balance")).to_have_text("9.75")
    await expect(page.get_by_test_id("held")).to_have_text("0.50")
    await expect(page.get_by_test_id("freshness")).to_contain_text("updated")
    await expect(page.get_by_test_id("summary-runs")).to_contain_text("Completed 1,")
    await expect(page.get_by_test_id("summary-tokens")).to_contain_text("Tokens in 1,200")
    await expect(page.get_by_test_id("summary-credits")).to_contain_text("Credits 0.25")
    await expect(page.get_by_test_id("summary-latency")).to_contain_text("Mean duration 900 ms")
    assert await _drawn(page, "chart-tokens") == 1_200

    await world.store(clickhouse, run)
    await expect(page.get_by_test_id("run")).to_have_count(1)
    await expect(page.get_by_test_id("run")).to_contain_text("Completed")
    assert await page.evaluate("window.neverReloaded")
    assert outside == []
    assert errors == []


async def test_tabs_of_one_visitor_share_one_stream(
    page: Page, console_url: str, base_url: str, world: World, http: aiohttp.ClientSession
) -> None:
    await _viewers_are(0, http, base_url)
    await sign_in(page, console_url, world.token)
    url = f"{console_url}/account/instances/{world.instance_id}"
    tabs = [page, await page.context.new_page(), await page.context.new_page()]
    for tab in tabs:
        await tab.goto(url)
        await expect(tab.get_by_test_id("connection-state")).to_have_text("Live")
    assert await _viewers(http, base_url) == 1
    await world.count(tokens_in=7)
    for tab in tabs:
        await expect(tab.get_by_test_id("tokens-in")).to_have_text("7")
    for tab in tabs:
        await tab.close()
    await _viewers_are(0, http, base_url)


async def test_when_the_api_comes_back_so_do_the_figures(
    page: Page, config: Config, world: World, tmp_path: Path
) -> None:
    port = free_port()
    async with console_process(f"http://127.0.0.1:{port}", tmp_path, world.token) as url:
        async with serving(config, port):
            await page.goto(f"{url}/account/instances/{world.instance_id}")
            await expect(page.get_by_test_id("connection-state")).to_have_text("Live")
        await expect(page.get_by_test_id("connection-state")).to_have_text("Reconnecting")
        await world.count(tokens_in=42)
        other = await page.context.new_page()
        await other.goto(f"{url}/account/instances")
        await expect(other.get_by_test_id("error")).to_contain_text("cannot be shown")
        async with serving(config, port):
            await expect(page.get_by_test_id("connection-state")).to_have_text("Live")
            await expect(page.get_by_test_id("tokens-in")).to_have_text("42")
            await other.get_by_role("button", name="Try again").click()
            await expect(other.get_by_test_id("instance")).to_have_count(1)


async def test_a_foreign_instance_is_not_found(page: Page, console_url: str, world: World) -> None:
    await sign_in(page, console_url, world.token)
    await page.goto(f"{console_url}/account/instances/inst_of_someone_else")
    await expect(page.get_by_test_id("not-found")).to_be_visible()
    await page.get_by_test_id("not-found").get_by_role("link").click()
    await expect(page).to_have_url(f"{console_url}/account/instances")


async def test_an_address_without_a_page_leads_back(page: Page, console_url: str, world: World) -> None:
    await sign_in(page, console_url, world.token)
    answer = await page.goto(f"{console_url}/no/such/page")
    assert answer is not None
    assert answer.status == 404
    await expect(page.get_by_test_id("problem")).to_contain_text("Page not found")
    await page.get_by_test_id("problem").get_by_role("link").click()
    await expect(page).to_have_url(f"{console_url}/account/instances")


async def test_the_theme_is_kept(page: Page, console_url: str, world: World) -> None:
    await sign_in(page, console_url, world.token)
    button = page.get_by_test_id("theme")
    await button.click()
    await expect(button).to_have_attribute("aria-label", "Theme: light. Change")
    await button.click()
    await expect(button).to_have_attribute("aria-label", "Theme: dark. Change")
    dark = "getComputedStyle(document.body).backgroundColor"
    await page.wait_for_function(f"{dark} === 'rgb(14, 17, 23)'")
    await page.reload()
    await page.wait_for_function(f"{dark} === 'rgb(14, 17, 23)'")


async def test_a_phone_needs_no_sideways_scrolling_and_german_gets_its_points(
    browser: Browser, console_url: str, world: World
) -> None:
    await world.count(started=1, tokens_in=12_345)
    context = patient(
        await browser.new_context(viewport={"width": 390, "height": 844}, locale="de-DE", color_scheme="dark")
    )
    page = await context.new_page()
    await sign_in(page, console_url, world.token)
    await expect(page.get_by_test_id("tokens")).to_have_text("12.345")
    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    await page.get_by_test_id("instance").click()
    await expect(page.get_by_test_id("tokens-in")).to_have_text("12.345")
    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    await context.close()


async def test_the_keyboard_reaches_everything(page: Page, console_url: str, world: World) -> None:
    await sign_in(page, console_url, world.token)
    await expect(page.get_by_test_id("instance")).to_have_count(1)
    await page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(20):
        await page.keyboard.press("Tab")
        reached.append(
            await page.evaluate(
                "(document.activeElement.ariaLabel || document.activeElement.innerText).trim()"
            )
        )
    words = " | ".join(reached)
    for name in ("Skip to content", "My Instances", "Theme", "Sign out", "Search instances", "Support agent"):
        assert name in words


def _is_outside(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))


async def _drawn(page: Page, chart: str) -> float:
    """Return the sum of the first series that ECharts itself holds."""
    return await page.evaluate(
        """(testid) => {
            const canvas = document.querySelector(`[data-testid=${testid}] .nicegui-echart`);
            const option = getElement(Number(canvas.id.slice(1))).chart.getOption();
            return option.series[0].data.reduce((sum, value) => sum + (value ?? 0), 0);
        }""",
        chart,
    )


async def _viewers_are(count: int, http: aiohttp.ClientSession, base_url: str) -> None:
    """Wait until the API has that many streams open; pages of earlier tests let go some seconds late."""
    async with asyncio.timeout(PATIENCE_S):
        while await _viewers(http, base_url) != count:  # noqa: ASYNC110 - another process' view
            await asyncio.sleep(0.1)


async def _viewers(http: aiohttp.ClientSession, base_url: str) -> float:
    async with http.get(f"{base_url}/metrics") as answer:
        for line in (await answer.text()).splitlines():
            if line.startswith("runmeter_console_api_live_viewers "):
                return float(line.rsplit(" ", 1)[1])
    raise AssertionError("no such metric")
