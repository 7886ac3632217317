"""A person signs in at the console of an embedded stack, through its development issuer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from playwright.async_api import Page

#: The owner of the organisation whose instance the stack is seeded with.
OWNER = "ada@example.com"


async def sign_in(page: Page, stack: dict[str, Any], email: str = OWNER) -> None:
    """`stack` is what `runmeter up --json` shows. Ends on *My Instances*."""
    home = f"{stack['console_url']}/account/instances"
    await page.goto(home)
    await page.get_by_test_id("submit").click()
    await page.get_by_text(email, exact=True).click()
    password = page.locator("input[type=password]")
    await password.fill(await asyncio.to_thread(Path(stack["sign_in"]["password_file"]).read_text))
    await password.press("Enter")
    await page.wait_for_url(home)
