"""Feedback: about one's own answers only, and durable when it is accepted."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer
from gateway_rig import Plane

from schemas import topics
from schemas.conversations import FeedbackEvent


async def heard(plane: Plane, run_id: str) -> FeedbackEvent:
    consumer = AIOKafkaConsumer(
        topics.CONVERSATION_FEEDBACK.name, bootstrap_servers=plane.bootstrap, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        async for record in consumer:
            event = msgspec.json.decode(record.value or b"", type=FeedbackEvent)
            if event.run_id == run_id:
                return event
    finally:
        await consumer.stop()
    raise AssertionError("it ended")


async def test_feedback_on_ones_own_answer_is_published(plane: Plane, fast: Any) -> None:
    buyer = await plane.tenant()
    async with plane.http.post(
        f"{fast.gateway.url}/v1/runs", json={"input": "Hello"}, headers=buyer.headers
    ) as answered:
        run_id = (await answered.json())["run_id"]
    body = {"rating": "down", "comment": "Too long; call me at +49 30 1234567 or ada@example.com"}
    url = f"{fast.gateway.url}/v1/runs/{run_id}/feedback"
    async with plane.http.post(url, json=body, headers=buyer.headers) as response:
        assert response.status == 202

    event = await heard(plane, run_id)
    comment = "Too long; call me at [phone] or [email]"
    assert (event.rating, event.comment, event.instance_id) == ("down", comment, buyer.instance_id)
    other = await plane.tenant()
    async with plane.http.post(url, json=body, headers=other.headers) as response:
        assert response.status == 404


@pytest.mark.parametrize(
    "body", [{}, {"rating": "fine"}, {"rating": "up", "x": 1}, {"rating": "up", "comment": "x" * 2_001}]
)
async def test_feedback_that_says_nothing_is_refused(plane: Plane, fast: Any, body: dict[str, Any]) -> None:
    buyer = await plane.tenant()
    url = f"{fast.gateway.url}/v1/runs/run_1/feedback"
    async with plane.http.post(url, json=body, headers=buyer.headers) as response:
        assert response.status == 422
