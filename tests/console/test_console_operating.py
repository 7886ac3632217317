"""What an operator does in the console: prices, grants, corrections, dead letters, reconciliations."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest_asyncio
from browser_stack import sign_in
from console_rig import CREDIT, Rig
from playwright.async_api import Page, expect
from sqlalchemy import select

sys.path.insert(0, str(Path(__file__).parents[2] / "e2e"))
import axe

from console_api.control.directory import prices
from console_api.database.tables import Grant, OutboxRow
from console_api.dead_letters import service as dead_letters
from console_api.reconciliations import service as reconciliations
from kit.clock import new_id, now_ms
from metering.corrections import corrected_cost
from metering.metered import MeteredRun
from metering.prices import PriceBook, Rates, versioned
from metering.runs import fold
from metering.totals import totals_of
from schemas import keys, topics
from schemas.events import DeadLetter, RunEvent, TokenEvent
from schemas.reconciliation import ReconciledFigure, Reconciliation, ReconciliationRequest

RATES = Rates(
    input=15 * CREDIT,
    cache_read=8 * CREDIT,
    cache_write=15 * CREDIT,
    output=60 * CREDIT,
    reasoning=60 * CREDIT,
)
BOOK = versioned(
    PriceBook(version="", models={"gpt-4o-mini": RATES, "gpt-4o": RATES}, default=RATES, per_run=CREDIT),
    "spring",
)
PAGES = ("orgs", "orders", "catalogue", "prices", "grants", "corrections", "webhooks", "letters", "reconcile")


@pytest_asyncio.fixture
async def operator(page: Page, shop: Rig) -> Page:
    """A browser with an operator signed in, of a marketplace that has prices."""
    async with shop.control.database.writing() as session:
        tenant_id, at_ms = shop.control.tenant_id, now_ms()
        await prices.publish_book(session, tenant_id, BOOK, actor="test", at_ms=at_ms)
        if not (await prices.scheduled(session, tenant_id)).entries:
            await prices.schedule_book(session, tenant_id, BOOK.version, 0, actor="test", at_ms=at_ms)
    await sign_in(page, shop.console_url, await shop.token("operator", ""))
    return page


async def _goto(page: Page, shop: Rig, name: str) -> None:
    await page.goto(f"{shop.console_url}/operate/{name}")
    await expect(page.get_by_test_id("loading")).to_have_count(0)


async def _sent(shop: Rig, topic: topics.Topic) -> list[Any]:
    async with shop.control.database.reading() as session:
        query = select(OutboxRow).where(OutboxRow.topic == topic.name).order_by(OutboxRow.seq)
        return [msgspec.json.decode(row.payload, type=topic.event) for row in await session.scalars(query)]


async def test_new_prices_are_previewed_published_and_withdrawn(operator: Page, shop: Rig) -> None:
    page = operator
    await _goto(page, shop, "prices")
    await expect(page.get_by_test_id("price-entry").first).to_contain_text("In force")

    await page.get_by_test_id("new-prices").click()
    await page.get_by_test_id("name").fill("summer")
    await page.get_by_test_id("mark-up").fill("50")
    await page.get_by_test_id("add-model").click()
    row = page.get_by_test_id("rates-row")
    await row.get_by_label("Model").fill("gpt-4o-mini")
    await expect(row.get_by_label("Output")).to_have_value("60")
    await row.get_by_label("Input", exact=True).fill("30")
    await page.get_by_label("Holds from").fill("2099-01-01T00:00")
    await expect(page.get_by_test_id("publish")).to_be_disabled()
    await page.get_by_test_id("preview").click()

    preview = page.get_by_test_id("price-preview")
    # 1,000 tokens in, 500 out and the run's fee: the input alone costs more.
    await expect(preview.get_by_test_id("cost").first).to_contain_text("1.04")
    await expect(preview.get_by_test_id("cost").first).to_contain_text("1.06")
    await expect(preview).to_contain_text("Models whose rates change: 2")
    await page.get_by_test_id("publish").click()
    await page.get_by_test_id("confirm").click()

    entry = page.get_by_test_id("price-entry").filter(has_text="To come")
    await expect(entry).to_contain_text("summer-")
    await entry.get_by_role("button", name="Withdraw").click()
    await page.get_by_test_id("confirm").click()
    await expect(page.get_by_test_id("price-entry").filter(has_text="To come")).to_have_count(0)
    await expect(page.get_by_test_id("price-book").filter(has_text="summer-")).to_have_count(1)


async def test_credits_are_given_and_voided(operator: Page, shop: Rig) -> None:
    page = operator
    await _goto(page, shop, "grants")
    await page.get_by_test_id("give").click()
    await page.get_by_label("Organisation to give to").click()
    await page.get_by_role("option", name="A buyer").click()
    await page.get_by_test_id("give-amount").fill("12.5")
    await page.get_by_test_id("give-reason").fill("welcome offer")
    await page.get_by_test_id("confirm").click()

    row = page.get_by_test_id("grant").filter(has_text="welcome offer")
    await expect(row).to_contain_text("12.50")
    async with shop.control.database.reading() as session:
        given = await session.scalar(select(Grant).where(Grant.reason == "welcome offer"))
    assert given is not None
    assert (given.amount_micro, given.kind, given.priority) == (12_500_000, "promotion", 50)
    await row.get_by_role("button", name="Void").click()
    await page.get_by_label("Reason").last.fill("given twice")
    await page.get_by_test_id("confirm").click()
    await expect(row).to_contain_text("Voided")


async def test_a_run_is_voided_after_it_was_computed(operator: Page, shop: Rig) -> None:
    page = operator
    run_id = new_id("run")
    whose: dict[str, Any] = {
        "tenant_id": shop.control.tenant_id,
        "org_id": shop.control.org_id,
        "instance_id": shop.control.instance_id,
        "run_id": run_id,
        "channel": "api",
        "price_version": BOOK.version,
        "started_at_ms": now_ms(),
        "occurred_at_ms": now_ms(),
    }
    call = {"call_id": "call_1", "seq": 1, "model": "gpt-4o", "input_uncached": 1_000_000, "final": True}
    events = [RunEvent(**whose, status="completed", model="gpt-4o"), TokenEvent(**whose, **call)]
    state = fold(None, [(event, False) for event in events])
    amended, charge, adjustments = corrected_cost(state, {BOOK.version: BOOK})
    stored = MeteredRun(state, totals_of(amended, charge.micro), adjustments)
    await shop.redis.set(keys.run(shop.world.partition, run_id), msgspec.msgpack.encode(stored))

    await _goto(page, shop, "corrections")
    await page.get_by_test_id("correct").click()
    await page.get_by_test_id("correct-run").fill(run_id)
    await page.get_by_test_id("correct-reason").fill("it answered nonsense")
    await expect(page.get_by_test_id("confirm")).to_be_disabled()
    await page.get_by_test_id("compute").click()
    await expect(page.get_by_test_id("computed")).to_contain_text("16.00 credits")
    await page.get_by_test_id("confirm").click()

    row = page.get_by_test_id("correction").filter(has_text=run_id)
    await expect(row).to_contain_text("Pending")
    sent = [event for event in await _sent(shop, topics.CORRECTIONS) if event.run_id == run_id]
    assert [(event.kind, event.reason) for event in sent] == [("void", "it answered nonsense")]


async def test_a_dead_letter_is_read_and_replayed(operator: Page, shop: Rig) -> None:
    page = operator
    offset = now_ms()
    letter = DeadLetter(
        topic=topics.TOKENS.name,
        partition=2,
        offset=offset,
        reason="undecodable",
        detail="JSON is malformed: <b>expected ':'</b>",
        worker="metering-0",
        recorded_at_ms=now_ms(),
        key=shop.control.org_id.encode(),
        value=b'{"tenant_id": <script>alert(1)</script>',
    )
    await dead_letters.take(shop.control.database, [letter])
    await _goto(page, shop, "letters")
    row = page.get_by_test_id("letter").filter(has_text=str(offset))
    await row.get_by_role("button", name="Open").click()
    await expect(page.get_by_test_id("content")).to_contain_text("<script>alert(1)</script>")
    await page.get_by_role("button", name="Close").click()

    await row.get_by_role("checkbox").click()
    await page.get_by_test_id("replay-selected").click()
    await page.get_by_test_id("confirm").click()
    await expect(page.get_by_text("1 replayed.")).to_be_visible()
    await expect(row).to_have_count(0)
    await page.get_by_role("button", name="All", exact=True).click()
    await expect(row).to_contain_text("Replayed")
    async with shop.control.database.reading() as session:
        query = select(OutboxRow.payload).where(OutboxRow.topic == topics.TOKENS.name)
        assert letter.value in (await session.scalars(query)).all()


async def test_a_reconciliation_is_started_and_its_report_read(operator: Page, shop: Rig) -> None:
    page = operator
    # What time asked for is answered first: one is done at a time.
    for asked in await _sent(shop, topics.RECONCILE_REQUESTS):
        done = Reconciliation(
            request_id=asked.request_id,
            tenant_id=asked.tenant_id,
            started_at_ms=now_ms(),
            finished_at_ms=now_ms(),
        )
        await reconciliations.take(shop.control.database, [done])
    await _goto(page, shop, "reconcile")
    await page.get_by_test_id("reconcile").click()
    await page.get_by_test_id("confirm").click()
    await expect(page.get_by_test_id("reconciliation").first).to_contain_text("Running")

    requests: list[ReconciliationRequest] = await _sent(shop, topics.RECONCILE_REQUESTS)
    report = Reconciliation(
        request_id=requests[-1].request_id,
        tenant_id=shop.control.tenant_id,
        orgs=1,
        runs=3,
        records=40,
        records_stored=40,
        different=1,
        differences=["org_1: wallet charged is 11, its runs cost 12"],
        figures=[ReconciledFigure(name="charged", recomputed=12 * CREDIT, redis=11 * CREDIT)],
        started_at_ms=now_ms(),
        finished_at_ms=now_ms(),
    )
    await reconciliations.take(shop.control.database, [report])
    row = page.get_by_test_id("reconciliation").first
    await expect(row).to_contain_text("Different")
    await row.get_by_role("button", name="Open").click()
    await expect(page.get_by_test_id("figure")).to_contain_text("11.00")
    await expect(page.get_by_text("wallet charged is 11, its runs cost 12")).to_be_visible()


async def test_a_plan_is_made_and_changed(operator: Page, shop: Rig) -> None:
    page = operator
    await _goto(page, shop, "catalogue")
    await page.get_by_test_id("new-plan").click()
    await page.get_by_test_id("code").fill("support-tiny")
    await page.get_by_test_id("offer-name").fill("Tiny")
    await page.get_by_test_id("offer-models").fill("gpt-4o-mini, gpt-4o")
    await page.get_by_test_id("included").fill("25")
    await page.get_by_test_id("add-price").click()
    await page.get_by_label("Cents").fill("900")
    await page.get_by_test_id("confirm").click()
    row = page.get_by_test_id("plan-row").filter(has_text="support-tiny")
    await expect(row).to_contain_text("Draft")
    await expect(row).to_contain_text("$9.00")

    await row.get_by_role("button", name="Edit Tiny").click()
    await expect(page.get_by_test_id("offer-models")).to_have_value("gpt-4o-mini, gpt-4o")
    await page.get_by_test_id("offer-name").fill("Very tiny")
    await page.get_by_test_id("confirm").click()
    await expect(row).to_contain_text("Very tiny")
    await expect(row).to_contain_text("25")


async def test_a_page_whose_store_is_away_says_so(operator: Page, shop: Rig) -> None:
    await operator.goto(f"{shop.console_url}/operate/workers")
    await expect(operator.get_by_test_id("error")).to_contain_text("Try again")


async def test_operators_pages_can_be_used_by_everybody_and_fit_a_phone(operator: Page, shop: Rig) -> None:
    page = operator
    for name in PAGES:
        await page.set_viewport_size({"width": 1280, "height": 900})
        for scheme in ("light", "dark"):
            # Opened in it: colours that change take their time.
            await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            await _goto(page, shop, name)
            if name == "prices":
                await page.get_by_test_id("new-prices").click()
                await page.get_by_test_id("add-model").click()
                await expect(page.get_by_test_id("rates-row")).to_be_visible()
            assert await axe.violations(page) == [], (name, scheme)
        await page.set_viewport_size({"width": 390, "height": 844})
        assert await page.evaluate("document.documentElement.scrollWidth") == 390, name


async def test_a_buyer_is_refused_the_operators_pages(page: Page, shop: Rig) -> None:
    await sign_in(page, shop.console_url, await shop.token("owner"))
    for name in ("prices", "grants", "corrections", "letters", "reconcile", "workers"):
        await _goto(page, shop, name)
        await expect(page.get_by_test_id("refused")).to_be_visible()
