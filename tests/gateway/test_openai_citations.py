"""What an answer rests on, as the official client gets it."""

from __future__ import annotations

from typing import Any

import pytest
from equipped_rig import DELIVERY, Equipped
from gateway_rig import Plane
from openai.types.chat import ChatCompletionMessageParam
from test_openai_client import client_of

_DELIVERY: list[ChatCompletionMessageParam] = [
    {"role": "user", "content": "How long is delivery of parcels within Germany?"}
]


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}])
async def test_a_completion_and_the_last_chunk_of_a_stream_name_their_sources(
    plane: Plane, equipped: Equipped, options: dict[str, Any]
) -> None:
    tenant = await plane.tenant(tools=(), instance_fields={"knowledge": True})
    await equipped.learn(tenant)
    async with client_of(equipped.gateway, tenant.key) as client:
        whole = await client.chat.completions.create(model="gpt-4o-mini", messages=_DELIVERY)
        stream: Any = await client.chat.completions.create(
            model="gpt-4o-mini", messages=_DELIVERY, stream=True, **options
        )
        *others, last = [chunk async for chunk in stream]
        greeted = await client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello"}]
        )

    text = whole.choices[0].message.content or ""
    [cited] = (whole.model_extra or {})["citations"]
    assert DELIVERY in text
    assert f"[{cited['number']}]" in text
    assert (cited["title"], cited["section"], cited["page"]) == ("Handbook", "Shop", 1)
    [streamed] = last.model_extra["citations"]
    assert (streamed["source_id"], streamed["page"]) == (cited["source_id"], 1)
    assert not any("citations" in chunk.model_extra for chunk in others)
    assert "citations" not in (greeted.model_extra or {})
