"""Runs: found from the ledger whichever instance they are of, and listed to the oldest."""

from __future__ import annotations

import asyncio
from pathlib import Path

import axe
import pytest
import pytest_asyncio
from browser_stack import console_process, sign_in
from console_rig import Rig
from held_answers import held_answers
from playwright.async_api import Page, expect
from waiting import PATIENCE_S, eventually

from kit.clock import new_id, now_ms

_HOUR_MS = 3_600_000


@pytest_asyncio.fixture(scope="session")
async def busy(shop: Rig) -> str:
    """An instance of many runs, behind five that are newer."""
    instance_id = await shop.world.add_instance("Busy")
    for number in range(5):
        await shop.world.add_instance(f"Newer {number}")
    runs = [
        shop.world.run(
            instance_id=instance_id,
            run_id=f"{instance_id}-{number}",
            status="failed" if number % 10 == 0 else "completed",
            channel="widget" if number % 2 else "api",
            model="gpt-4o" if number == 3 else "gpt-4o-mini",
            started_at_ms=now_ms() - number * 60_000,
        )
        for number in range(60)
    ]
    old = shop.world.run(
        instance_id=instance_id, model="gpt-3.5", started_at_ms=now_ms() - 20 * 24 * _HOUR_MS
    )
    await shop.world.store(shop.clickhouse, *runs, old)
    return instance_id


@pytest.fixture
async def signed_in(page: Page, shop: Rig) -> Page:
    await sign_in(page, shop.console_url, await shop.token())
    return page


async def test_a_line_of_the_ledger_leads_to_its_run(signed_in: Page, shop: Rig, busy: str) -> None:
    page, run_id = signed_in, f"{busy}-7"
    await shop.world.record(shop.clickhouse, shop.world.entry(run_id, -250_000))
    await page.goto(f"{shop.console_url}/account/wallet?about={run_id}")
    await page.get_by_test_id("entry").get_by_role("link").click()
    await expect(page.get_by_test_id("timeline")).to_contain_text("Admitted")
    home = page.get_by_role("link", name="The instance")
    await expect(home).to_have_attribute("href", f"/account/instances/{busy}")


async def test_a_run_that_no_instance_has_is_not_found(signed_in: Page, shop: Rig) -> None:
    await signed_in.goto(f"{shop.console_url}/account/runs/{new_id('run')}")
    await expect(signed_in.get_by_test_id("not-found")).to_contain_text("Run not found")


async def test_all_runs_are_listed_and_filtered(signed_in: Page, shop: Rig, busy: str) -> None:
    page = signed_in
    await page.goto(f"{shop.console_url}/account/instances/{busy}")
    await page.get_by_role("link", name="All runs").click()
    rows = page.get_by_test_id("run-row")
    await expect(rows).to_have_count(50)
    await page.get_by_role("button", name="Show more").click()
    await expect(rows).to_have_count(60)
    await expect(page.get_by_role("button", name="Show more")).to_have_count(0)

    await page.get_by_label("Status").click()
    await page.get_by_role("option", name="Failed").click()
    await expect(rows).to_have_count(6)
    await page.get_by_label("Channel").click()
    await page.get_by_role("option", name="widget").click()
    await expect(page.get_by_test_id("no-runs")).to_be_visible()
    await page.get_by_label("Status").click()
    await page.get_by_role("option", name="All").click()
    await expect(rows).to_have_count(30)
    await page.get_by_label("Model").click()
    await page.get_by_role("option", name="gpt-4o", exact=True).click()
    await expect(rows).to_have_count(1)
    assert await axe.violations(page) == []
    await rows.get_by_role("link").click()
    await expect(page.get_by_test_id("timeline")).to_contain_text("Admitted")


async def test_older_runs_and_their_models_are_of_a_longer_range(
    signed_in: Page, shop: Rig, busy: str
) -> None:
    page = signed_in
    await page.goto(f"{shop.console_url}/account/instances/{busy}/runs")
    await page.get_by_role("button", name="30 days").click()

    async def offered() -> bool:
        # The models of the range come in their own time; a list that is open meanwhile is the old one.
        await page.get_by_label("Model").click()
        await expect(page.get_by_role("option").first).to_be_visible()
        if await page.get_by_role("option", name="gpt-3.5").count():
            return True
        await page.keyboard.press("Escape")
        return False

    await eventually(offered, "the model of an older run is offered")
    await page.get_by_role("option", name="gpt-3.5").click()
    await expect(page.get_by_test_id("run-row")).to_have_count(1)


async def test_models_of_a_range_left_meanwhile_are_not_offered(
    page: Page, shop: Rig, busy: str, tmp_path: Path
) -> None:
    async with (
        held_answers(shop.api_url) as (api_url, answers),
        console_process(api_url, tmp_path) as console_url,
    ):
        await sign_in(page, console_url, await shop.token())
        answers.hold_next("usage")
        await page.goto(f"{console_url}/account/instances/{busy}/runs")
        async with asyncio.timeout(PATIENCE_S):
            await answers.is_held.wait()
        await page.get_by_role("button", name="30 days").click()
        await expect(page.get_by_test_id("run-row")).to_have_count(50)
        listed = answers.passed["runs"]
        answers.let_go()

        async def come() -> bool:
            return answers.passed["runs"] > listed or answers.is_in_vain

        await eventually(come, "the first question is over")
        await page.get_by_label("Model").click()
        await page.get_by_role("option", name="gpt-3.5").click()
        await expect(page.get_by_test_id("run-row")).to_have_count(1)
