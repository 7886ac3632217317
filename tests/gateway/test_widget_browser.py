"""The widget's script in Chromium: a visitor opens it, asks, reloads, and meets what can go wrong."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from equipped_rig import Equipped
from gateway_rig import Plane
from playwright.async_api import Browser, expect
from test_feedback import heard
from widget_browser import CHROMIUM, chromium, shop

from schemas.directory import Branding, Limits

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH")

_BRANDED = {
    "branding": Branding(title="Shop help", colour="#ffd400", position="left"),
    "greeting": "Hello, how can I help?",
}


@pytest_asyncio.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as opened:
        yield opened


async def test_a_visitor_asks_reloads_and_closes(plane: Plane, fast: Any, browser: Browser) -> None:
    async with shop(plane, fast.gateway, browser, instance_fields=_BRANDED) as page:
        await page.launcher.click()
        await expect(page.dialog).to_be_visible()
        await expect(page.dialog.get_by_role("heading", name="Shop help")).to_be_visible()
        await expect(page.question).to_be_focused()
        await expect(page.answers).to_have_text(["Hello, how can I help?"])

        await page.ask("What are your opening hours?")
        await expect(page.answers).to_have_count(2)
        await expect(page.answers.nth(1)).to_have_text(re.compile(r"\w{3}"))
        await expect(page.page.get_by_role("log")).to_have_attribute("aria-busy", "false")
        answer = await page.answers.nth(1).inner_text()

        await page.page.reload()
        await expect(page.dialog).to_be_visible()
        await expect(page.answers).to_have_text(["Hello, how can I help?", answer])
        await page.ask("And on Sundays?")
        await expect(page.answers).to_have_count(3)
        await expect(page.page.get_by_role("log")).to_have_attribute("aria-busy", "false")

        await page.question.press("Escape")
        await expect(page.dialog).to_be_hidden()
        await expect(page.launcher).to_be_focused()
        assert page.said == []

    runs = (await plane.log.runs_of(page.tenant.instance_id)).values()
    assert [run.closing.channel for run in runs] == ["widget", "widget"]
    assert len({run.closing.end_user for run in runs}) == 1


async def test_it_looks_as_the_instance_is_branded(plane: Plane, fast: Any, browser: Browser) -> None:
    async with shop(plane, fast.gateway, browser, instance_fields=_BRANDED) as page:
        await page.launcher.click()
        await expect(page.dialog.get_by_role("heading", name="Shop help")).to_be_visible()
        looks = await page.page.locator("header").evaluate(
            "node => [getComputedStyle(node).backgroundColor, getComputedStyle(node).color]"
        )
        box = await page.dialog.bounding_box()

    assert looks == ["rgb(255, 212, 0)", "rgb(0, 0, 0)"]
    assert box["x"] == 20


async def test_an_answer_streams_and_can_be_stopped(plane: Plane, slow: Any, browser: Browser) -> None:
    async with shop(plane, slow.gateway, browser) as page:
        await page.launcher.click()
        await page.ask("Tell me everything [[fault:length:800]]")
        await expect(page.answers.last).to_have_text(re.compile(r"\w+ \w+"))
        first = await page.answers.last.inner_text()
        await expect(page.answers.last).not_to_have_text(first)
        await page.page.get_by_role("button", name="Stop the answer").click()
        await expect(page.notice).to_have_text("Stopped.")
        await expect(page.page.get_by_role("button", name="Send")).to_be_visible()
        assert page.said == []


async def test_keys_stay_within_the_dialog(plane: Plane, fast: Any, browser: Browser) -> None:
    async with shop(plane, fast.gateway, browser) as page:
        await page.launcher.press("Enter")
        await expect(page.question).to_be_focused()
        stops = []
        for _ in range(8):
            await page.page.keyboard.press("Tab")
            stops.append(
                await page.page.evaluate(
                    "document.activeElement.shadowRoot?.activeElement?.className ?? 'outside'"
                )
            )
        await page.question.focus()
        await page.page.keyboard.press("Shift+Tab")
        before = await page.page.evaluate("document.activeElement.shadowRoot?.activeElement?.className")

    assert "outside" not in stops
    assert {"send", "fresh", "close", "log"} <= set(stops)
    assert before == "log"


async def test_another_page_is_told_calmly(plane: Plane, fast: Any, browser: Browser) -> None:
    async with shop(plane, fast.gateway, browser, allowed=False) as page:
        await page.launcher.click()
        await expect(page.notice).to_have_text("This chat is not available on this page.")
        await expect(page.question).to_be_disabled()
        said = list(page.said)

    # The browser's own words on the one request that was refused.
    assert said
    assert all("/v1/widget/session:init" in line for line in said)
    assert len(said) <= 2


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"credits_micro": 0}, "cannot answer at the moment"),
        ({"limits": Limits(requests_per_minute=1)}, "You can ask again in"),
    ],
)
async def test_what_is_refused_is_said_with_what_to_do(
    plane: Plane, fast: Any, browser: Browser, fields: dict[str, Any], said: str
) -> None:
    async with shop(plane, fast.gateway, browser, **fields) as page:
        await page.launcher.click()
        await page.ask("Hello?")
        if "limits" in fields:
            await expect(page.answers.last).to_have_text(re.compile(r"\w{3}"))
            await page.ask("Hello again?")
        await expect(page.notice).to_contain_text(said)
        again = page.notice.get_by_role("button", name="Try again")
        if "limits" in fields:
            await expect(again).to_be_disabled()
        else:
            await expect(again).to_be_enabled()


async def test_without_a_network_it_waits_for_one(plane: Plane, fast: Any, browser: Browser) -> None:
    async with shop(plane, fast.gateway, browser) as page:
        await page.launcher.click()
        await expect(page.question).to_be_enabled()
        await page.page.context.set_offline(True)
        await page.ask("Are you there?")
        await expect(page.notice).to_contain_text("There is no connection right now")
        await page.page.context.set_offline(False)
        await expect(page.answers.last).to_have_text(re.compile(r"\w{3}"))
        await expect(page.notice).to_have_count(0)


async def test_on_a_phone_it_fills_the_screen(plane: Plane, fast: Any, browser: Browser) -> None:
    phone = {"viewport": {"width": 390, "height": 700}, "color_scheme": "dark", "reduced_motion": "reduce"}
    async with shop(plane, fast.gateway, browser, context=phone) as page:
        await page.launcher.click()
        await expect(page.dialog).to_be_visible()
        box = await page.dialog.bounding_box()
        ground = await page.dialog.evaluate("node => getComputedStyle(node).backgroundColor")
        moving = await page.dialog.evaluate("node => getComputedStyle(node).animationName")

    assert (box["x"], box["y"], box["width"], box["height"]) == (0, 0, 390, 700)
    assert ground == "rgb(22, 25, 29)"
    assert moving == "none"


async def test_a_session_that_ended_is_begun_anew(plane: Plane, fast: Any, browser: Browser) -> None:
    async with shop(plane, fast.gateway, browser) as page:
        await page.launcher.click()
        await expect(page.question).to_be_enabled()
        name = f"runmeter:{page.tenant.key}"
        await page.page.wait_for_function("name => JSON.parse(sessionStorage[name]).session", arg=name)
        spoil = """name => {
            const state = JSON.parse(sessionStorage[name]);
            state.session.session_token = 'a.b.c';
            sessionStorage[name] = JSON.stringify(state);
        }"""
        await page.page.evaluate(spoil, name)
        await page.page.reload()
        await page.ask("Hello?")
        await expect(page.answers.last).to_have_text(re.compile(r"\w{3}"))


async def test_what_an_answer_rests_on_stands_under_it(
    plane: Plane, equipped: Equipped, browser: Browser
) -> None:
    async with shop(plane, equipped.gateway, browser, instance_fields={"knowledge": True}) as page:
        await equipped.learn(page.tenant)
        await page.launcher.click()
        await page.ask("How long is delivery of parcels?")
        sources = page.dialog.get_by_role("listitem")
        await expect(sources.first).to_contain_text("Handbook, Shop, page")
        await page.page.reload()
        await expect(sources.first).to_contain_text("Handbook, Shop, page")


async def test_a_visitor_says_whether_an_answer_helped(plane: Plane, fast: Any, browser: Browser) -> None:
    async with shop(plane, fast.gateway, browser, instance_fields=_BRANDED) as page:
        await page.launcher.click()
        await page.ask("What are your opening hours?")
        # Under the answer, not under the greeting.
        asked = page.dialog.get_by_role("group", name="Did this help?")
        await expect(asked).to_have_count(1)
        up = asked.get_by_role("button", name="This answer helped")
        down = asked.get_by_role("button", name="This answer did not help")
        await expect(up).to_have_attribute("aria-pressed", "false")

        async with page.page.expect_response("**/feedback") as told:
            await down.press("Enter")
        answer = await told.value
        assert answer.status == 202
        await expect(down).to_have_attribute("aria-pressed", "true")
        await expect(up).to_have_attribute("aria-pressed", "false")
        name = f"runmeter:{page.tenant.key}"
        kept = "name => JSON.parse(sessionStorage[name]).messages.at(-1).rating === 'down'"
        await page.page.wait_for_function(kept, arg=name)
        await page.page.reload()
        await expect(down).to_have_attribute("aria-pressed", "true")
        assert page.said == []

        # What was not heard is not shown as said.
        await page.page.context.set_offline(True)
        await up.click()
        await expect(down).to_have_attribute("aria-pressed", "true")
        await expect(up).to_have_attribute("aria-pressed", "false")

    ((run_id, _),) = (await plane.log.runs_of(page.tenant.instance_id)).items()
    assert f"/v1/runs/{run_id}/feedback" in answer.url
    assert (await heard(plane, run_id)).rating == "down"


async def test_a_session_is_refreshed_before_it_ends(plane: Plane, fast: Any, browser: Browser) -> None:
    async with shop(plane, fast.gateway, browser) as page:
        await page.launcher.click()
        name = f"runmeter:{page.tenant.key}"
        await page.page.wait_for_function("name => JSON.parse(sessionStorage[name]).session", arg=name)
        due = """name => {
            const state = JSON.parse(sessionStorage[name]);
            sessionStorage[name] = JSON.stringify({ ...state, refreshAt: 0 });
        }"""
        await page.page.evaluate(due, name)
        async with page.page.expect_response("**/v1/widget/session:refresh") as refreshed:
            await page.page.reload()
        answer = await refreshed.value
        assert answer.status == 200
        token = (await answer.json())["session_token"]
        # Its token alone says nothing: that of the same second is the same.
        renewed = """([name, token]) => {
            const { session, refreshAt } = JSON.parse(sessionStorage[name]);
            return session.session_token === token && refreshAt > 0;
        }"""
        await page.page.wait_for_function(renewed, arg=[name, token])
        assert page.said == []
