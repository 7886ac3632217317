"""Connectors: what the API keeps in another shape than it takes can be changed, and is kept otherwise."""

from __future__ import annotations

from typing import Any

import aiohttp
from browser_stack import sign_in
from console_rig import Rig
from console_rows import new_instance
from playwright.async_api import Page, expect
from sqlalchemy import select

from console_api.database.tables import Connector, Secret

_DOCUMENT = {
    "openapi": "3.0.0",
    "servers": [{"url": "https://api.example.com"}],
    "paths": {"/orders": {"get": {"operationId": "listOrders", "summary": "All orders"}}},
}
_REST = {
    "kind": "rest",
    "name": "Our shop",
    "settings": {"document": _DOCUMENT, "operations": ["listOrders"]},
    "credentials": {"scheme": "bearer", "token": "first-token"},
}


async def _connected(shop: Rig, token: str) -> str:
    """Return an instance with a REST API connected."""
    instance_id = await new_instance(shop, "Connected")
    url = f"{shop.api_url}/api/v1/instances/{instance_id}/connectors"
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(url, json=_REST) as answer,
    ):
        assert answer.status == 201, await answer.text()
    return instance_id


async def _kept(shop: Rig, instance_id: str) -> tuple[str, Any, bytes]:
    """Return the connector's name, its settings and its sealed credentials."""
    async with shop.control.database.reading() as session:
        [row] = (await session.scalars(select(Connector).where(Connector.instance_id == instance_id))).all()
        sealed = await session.scalar(select(Secret.sealed).where(Secret.secret_id == row.secret_id))
        assert sealed is not None
        return row.name, row.settings, sealed


async def test_a_rest_api_is_renamed_and_gets_another_token(page: Page, shop: Rig) -> None:
    token = await shop.token()
    instance_id = await _connected(shop, token)
    _, settings, first = await _kept(shop, instance_id)
    await sign_in(page, shop.console_url, token)
    await page.goto(f"{shop.console_url}/account/instances/{instance_id}/connectors")
    card, asked = page.get_by_test_id("connector"), page.get_by_role("dialog")

    await card.get_by_role("button", name="Settings").click()
    await expect(asked.get_by_text("Leave empty to keep what is set.").first).to_be_visible()
    await asked.get_by_label("Name", exact=True).fill("The new shop")
    await asked.get_by_role("button", name="Save").click()
    await expect(card).to_contain_text("The new shop")
    assert await _kept(shop, instance_id) == ("The new shop", settings, first)

    await card.get_by_role("button", name="Settings").click()
    await asked.get_by_label("Token (optional)").fill("second-token")
    await asked.get_by_role("button", name="Save").click()
    # What is filled in replaces what is set: it would not say how the token is to be used.
    await expect(page.get_by_role("alert").last).to_contain_text("Fill in: Scheme.")
    await asked.get_by_label("Scheme (optional)").click()
    await page.get_by_role("option", name="bearer").click()
    await asked.get_by_role("button", name="Save").click()
    await expect(asked).to_have_count(0)
    name, kept, second = await _kept(shop, instance_id)
    assert (name, kept) == ("The new shop", settings)
    assert second != first
