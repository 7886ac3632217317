"""A run in full, usage files, and what a phone shows of tables. The whole API, a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import axe
import pyarrow.parquet as parquet
import pytest
from browser_stack import sign_in
from console_rig import CREDIT, Rig
from metered_world import CHEAP, Told
from playwright.async_api import Browser, Page, expect
from waiting import PATIENCE_S, patient

from kit.clock import now_ms
from metering.totals import CHARGED

_PATIENCE_MS = PATIENCE_S * 1000
_PHONE = {"width": 390, "height": 844}


@pytest.fixture
async def signed_in(page: Page, shop: Rig) -> Page:
    await sign_in(page, shop.console_url, await shop.token())
    return page


def _run(shop: Rig, told: Told) -> str:
    return f"{shop.console_url}/account/runs/{told.run_id}?instance={shop.world.instance_id}"


def _credits(micro: int) -> str:
    return f"{micro / CREDIT:.6f}"


async def _sum(page: Page) -> int:
    """Return what the price lines add up to, in micro-credits, as they are written."""
    cells = await page.get_by_test_id("price-line").locator("td:last-child").all_inner_texts()
    return sum(round(float(text.replace("\u2212", "-").replace(",", "")) * CREDIT) for text in cells)


async def test_a_run_shows_its_calls_its_price_and_where_it_is_written_down(
    signed_in: Page, shop: Rig
) -> None:
    page, told = signed_in, Told(shop.world)
    charged = (await told.charge()).totals[CHARGED]
    await told.store(shop.clickhouse)
    await page.goto(_run(shop, told))

    calls = page.get_by_test_id("model-call")
    await expect(calls).to_have_count(2)
    await expect(calls.first).to_contain_text("Model call 1: gpt-4o-mini")
    await expect(calls.first).to_contain_text(
        "150 tokens in (30 read from cache), 41 out (7 of them reasoning)"
    )
    await expect(calls.first).to_contain_text("Counted by the provider")
    await expect(calls.last).to_contain_text("Estimated")
    await expect(calls.last).to_contain_text("+1.9 s")
    await expect(page.get_by_test_id("tool-call")).to_contain_text("Tool call 1: calculator")
    await expect(page.get_by_test_id("tool-call")).to_contain_text("Took 35 ms.")
    order = await page.get_by_test_id("timeline").locator("h3").all_inner_texts()
    assert [one.split(":")[0] for one in order] == [
        "Admitted",
        "Model call 1",
        "Tool call 1",
        "Model call 2",
        "Completed",
        "Charged",
    ]

    await expect(page.get_by_test_id("adds-up")).to_have_text("Adds up exactly")
    await expect(page.get_by_test_id("bill-total")).to_contain_text(f"{_credits(charged)} credits")
    assert await _sum(page) == charged
    await expect(page.get_by_test_id("price-line").first).to_contain_text("15.00 per million")
    await expect(page.get_by_test_id("ledger-entry")).to_contain_text(f"\u2212{_credits(charged)}")
    events = page.get_by_test_id("event")
    await expect(events).to_have_count(6)
    await expect(events.first).to_contain_text("usage.runs")
    assert await events.nth(1).locator("td").all_inner_texts() == [
        "Tokens, count 1",
        *(await events.nth(1).locator("td").all_inner_texts())[1:4],
        "usage.tokens",
        str(shop.world.partition),
        "101",
    ]
    await expect(page.get_by_test_id("arriving")).to_have_count(0)


async def test_corrections_are_price_lines_of_their_own(signed_in: Page, shop: Rig) -> None:
    page, told = signed_in, Told(shop.world)
    told.events.append(
        told.correct("req_1", "rerate", 60_000, new_price_version=CHEAP.version, reason="goodwill")
    )
    charged = (await told.charge()).totals[CHARGED]
    await told.store(shop.clickhouse)
    await page.goto(_run(shop, told))

    await expect(page.get_by_test_id("correction")).to_contain_text("Corrected: priced anew")
    await expect(page.get_by_test_id("price-line").last).to_contain_text("Priced anew: goodwill")
    await expect(page.get_by_test_id("price-line").last).to_contain_text("\u22120.001500")
    assert await _sum(page) == charged
    await expect(page.get_by_test_id("ledger-entry")).to_have_count(2)


async def test_a_run_that_just_ended_fills_up_by_itself(signed_in: Page, shop: Rig) -> None:
    page, told = signed_in, Told(shop.world)
    charged = (await told.charge()).totals[CHARGED]
    await page.goto(_run(shop, told))
    await expect(page.get_by_test_id("arriving")).to_contain_text("still on its way to history")
    await expect(page.get_by_test_id("bill-total")).to_contain_text(_credits(charged))
    await expect(page.get_by_test_id("model-call").first).to_contain_text("On its way to history")
    await expect(page.get_by_test_id("events")).to_contain_text("No event has reached history yet.")

    await told.store(shop.clickhouse)

    await expect(page.get_by_test_id("arriving")).to_have_count(0)
    await expect(page.get_by_test_id("event")).to_have_count(6)


async def test_a_run_that_is_nowhere_is_said_to_be(signed_in: Page, shop: Rig) -> None:
    await signed_in.goto(f"{shop.console_url}/account/runs/run_none?instance={shop.world.instance_id}")
    await expect(signed_in.get_by_test_id("not-found")).to_contain_text("Run not found")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_run_can_be_read_by_everybody_also_on_a_phone(
    browser: Browser, shop: Rig, scheme: str
) -> None:
    told = Told(shop.world)
    await told.charge()
    await told.store(shop.clickhouse)
    context = patient(await browser.new_context(viewport=_PHONE, color_scheme=scheme, locale="en-US"))  # type: ignore[arg-type]
    page = await context.new_page()
    await sign_in(page, shop.console_url, await shop.token())
    await page.goto(_run(shop, told))
    await expect(page.get_by_test_id("event")).to_have_count(6)

    assert await axe.violations(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth") == _PHONE["width"]
    # Nothing of a row is cut off: what is furthest to the right is on the screen.
    offset = page.get_by_test_id("event").first.locator("td").last
    await expect(offset).to_have_text("100")
    box = await offset.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= _PHONE["width"]
    await page.set_viewport_size({"width": 1280, "height": 900})
    assert await axe.violations(page) == []
    await context.close()


async def test_the_keyboard_reaches_tables_and_copies_an_id(signed_in: Page, shop: Rig) -> None:
    page, told = signed_in, Told(shop.world)
    await told.charge()
    await told.store(shop.clickhouse)
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.goto(_run(shop, told))
    copy = page.get_by_title(told.run_id, exact=True).first
    await copy.focus()
    await page.keyboard.press("Enter")
    await expect(copy).to_contain_text("Copied")
    assert await page.evaluate("navigator.clipboard.readText()") == told.run_id
    for name in ("Price lines", "Ledger entries", "Events"):
        region = page.get_by_role("region", name=name)
        await region.focus()
        await expect(region).to_be_focused()


async def test_usage_can_be_taken_away_as_parquet(signed_in: Page, shop: Rig) -> None:
    page = signed_in
    await shop.use(days=1, runs_an_hour=1, seed=3)
    await page.goto(f"{shop.console_url}/account/instances/{shop.world.instance_id}/usage")
    await page.get_by_role("button", name="Model", exact=True).click()
    await expect(page.get_by_test_id("history-tokens-in")).to_be_visible()
    runs = await page.get_by_test_id("usage-row").last.locator("td").nth(1).inner_text()

    async with page.expect_download() as started:
        await page.get_by_test_id("usage-parquet").click()
    rows = parquet.read_table(Path(await (await started.value).path())).to_pylist()

    assert sum(row["runs"] for row in rows) == int(runs.replace(",", ""))
    assert {"gpt-4o", "gpt-4o-mini"} <= {row["group"] for row in rows}
    assert all(row["window_start"].tzinfo is not None and row["started"] for row in rows)


async def test_a_chart_that_is_drawn_stays_drawn(signed_in: Page, shop: Rig) -> None:
    page = signed_in
    await shop.use(days=1, seed=5)
    await page.goto(f"{shop.console_url}/account/instances/{shop.world.instance_id}/usage")
    charts = """(least) => {
        const figures = [...document.querySelectorAll('[data-history]')];
        const drawn = figures.map((figure) => {
            const id = Number(figure.querySelector('.nicegui-echart')?.id.slice(1));
            return getElement(id)?.chart?.getOption()?.series.some((one) => one.data?.length);
        });
        return figures.length >= least && drawn.every(Boolean);
    }"""
    await page.wait_for_function(charts, arg=5, timeout=_PATIENCE_MS)
    # The library's own options come once more, some moments after the chart was there.
    await page.evaluate(
        """() => document.querySelectorAll('[data-history] .nicegui-echart')
            .forEach((one) => getElement(Number(one.id.slice(1))).update_chart())"""
    )
    assert await page.evaluate(charts, 5)


async def test_one_point_of_latency_can_be_seen(page: Page, shop: Rig) -> None:
    lonely = await shop.world.add_instance("Used once")
    await shop.world.store(shop.clickhouse, shop.world.run(instance_id=lonely, duration_ms=1_234))
    await sign_in(page, shop.console_url, await shop.token())
    await page.goto(f"{shop.console_url}/account/instances/{lonely}/usage")
    await expect(page.get_by_test_id("history-latency").locator("canvas")).to_be_visible(timeout=_PATIENCE_MS)

    shown = """() => {
        const canvas = document.querySelector('[data-testid=history-latency] .nicegui-echart');
        const chart = getElement(Number(canvas.id.slice(1)))?.chart;
        const known = chart?.getOption()?.series?.[0]?.data.filter((value) => value !== null);
        if (!known) return false;
        // What is painted, whatever the options say: a symbol of the series, of some size.
        const painted = chart.getZr().storage.getDisplayList();
        const dots = painted.filter((one) => one.type === 'circle' || (one.shape?.symbolType === 'circle'));
        return known.length === 1 && dots.some((one) => !one.invisible && one.getBoundingRect().width > 0);
    }"""
    await page.wait_for_function(shown, timeout=_PATIENCE_MS)


async def test_the_audit_log_is_said_as_people_read_it(signed_in: Page, shop: Rig) -> None:
    page = signed_in
    await page.goto(f"{shop.console_url}/account/instances/{shop.world.instance_id}/channels")
    await page.get_by_test_id("create-key").click()
    await page.get_by_label("Name", exact=True).fill("For the auditors")
    await page.get_by_test_id("key-create").click()
    await expect(page.get_by_test_id("new-key")).to_be_visible()

    await page.goto(f"{shop.console_url}/account/audit")
    newest = page.get_by_test_id("audit-entry").first
    await expect(newest).to_contain_text("Created a key")
    await expect(newest).to_contain_text("For the auditors")
    said = await page.get_by_role("table").inner_text()
    assert not re.search(r"_micro|_ms\b|[a-z]+_[0-9a-z]{20,}", said)
    assert await axe.violations(page) == []


async def test_a_phone_shows_the_tab_that_is_open_and_all_of_a_key(browser: Browser, shop: Rig) -> None:
    context = patient(await browser.new_context(viewport=_PHONE, locale="en-US"))
    page = await context.new_page()
    await sign_in(page, shop.console_url, await shop.token())
    instance = f"{shop.console_url}/account/instances/{shop.world.instance_id}"
    await page.goto(f"{instance}/usage")
    tab = page.get_by_role("navigation", name="Instance").get_by_role("link", name="Usage & limits")
    await expect(tab).to_be_in_viewport(ratio=0.9)

    await page.goto(f"{instance}/channels")
    await page.get_by_test_id("create-key").click()
    await page.get_by_label("Name", exact=True).fill("For a phone")
    await page.get_by_test_id("key-create").click()
    await page.get_by_test_id("copied").click()
    row = page.get_by_test_id("key").first
    await expect(row).to_contain_text("For a phone")
    await expect(row.get_by_role("cell").nth(1)).to_contain_text("API key")
    for element in await row.locator("td, button").all():
        box = await element.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= _PHONE["width"]
    await context.close()


@pytest.mark.parametrize(
    ("path", "row"), [("audit", "audit-entry"), ("team", "invitation"), ("wallet", "alert-rule")]
)
async def test_a_phone_cuts_nothing_off(browser: Browser, shop: Rig, path: str, row: str) -> None:
    context = patient(await browser.new_context(viewport=_PHONE, locale="en-US"))
    page = await context.new_page()
    await sign_in(page, shop.console_url, await shop.token())
    if path == "team":
        await page.goto(f"{shop.console_url}/account/team")
        await page.get_by_test_id("invite").click()
        await page.get_by_test_id("invite-email").fill(f"somebody-{now_ms()}@a-rather-long-name.example.com")
        await page.get_by_test_id("send-invitation").click()
        await expect(page.get_by_test_id("invitation").last).to_be_visible()
    await page.goto(f"{shop.console_url}/account/{path}")
    rows = page.get_by_test_id(row)
    await expect(rows.first).to_be_visible()

    assert await page.evaluate("document.documentElement.scrollWidth") == _PHONE["width"]
    for element in await rows.first.locator("td, button").all():
        box = await element.bounding_box()
        assert box is None or box["x"] + box["width"] <= _PHONE["width"]
    assert await axe.violations(page) == []
    await context.close()
