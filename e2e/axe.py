"""axe-core in a page: what it finds wrong, in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Page

SCRIPT = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def script() -> str:
    """Return axe-core; without it the test is skipped."""
    if not SCRIPT.exists():
        pytest.skip("needs axe-core: npm install --prefix e2e")
    return SCRIPT.read_text()


async def violations(page: Page, source: str) -> list[str]:
    """Return each violation of WCAG 2.2 AA on the page as one line."""
    await page.evaluate(source)
    found = await page.evaluate("(tags) => axe.run(document, { runOnly: tags })", _TAGS)
    return [
        f"{item['id']}: {node['target']} {node['html'][:160]}"
        for item in found["violations"]
        for node in item["nodes"]
    ]
