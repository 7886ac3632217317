"""axe-core in a page: what it finds wrong, in words."""

from __future__ import annotations

from importlib.resources import files

from playwright.async_api import Page

_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
#: What fades in is not as it will be yet; what pulses for ever is.
_STILL = """() => document.getAnimations().every(
    (one) => one.playState !== "running" || one.effect.getComputedTiming().endTime === Infinity
)"""
_SCRIPT = files("axe_playwright_python").joinpath("axe.min.js")


async def violations(page: Page) -> list[str]:
    """Return each violation of WCAG 2.2 AA on the page as one line, once nothing on it moves."""
    await page.wait_for_function(_STILL)
    await page.evaluate(_SCRIPT.read_text())
    found = await page.evaluate("(tags) => axe.run(document, { runOnly: tags })", _TAGS)
    return [
        f"{item['id']}: {node['target']} {node['html'][:160]}"
        for item in found["violations"]
        for node in item["nodes"]
    ]
