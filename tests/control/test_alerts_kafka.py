"""Thresholds over a real Kafka, two processes that tell them, one of them killed: each is told once."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest_asyncio
from aiokafka import AIOKafkaProducer
from alerts_rig import Alerted, alerted, verified, wallet_event
from containers import free_ports
from control_places import Place
from control_world import World
from waiting import eventually, until

from console_api.alerts import rules
from console_api.alerts.models import RuleChange
from kit.clock import now_ms
from schemas import topics
from schemas.events import LimitEvent, encode

ROOT = Path(__file__).parents[2]
_BATCH = 5


@pytest_asyncio.fixture
async def told(place: Place, world: World) -> AsyncIterator[Alerted]:
    # Real processes have real clocks.
    world.clock.at_ms = now_ms()
    async with alerted(place, world) as made:
        yield made


@asynccontextmanager
async def process(place: Place, redis_url: str, kafka: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a console API of its own until the block ends."""
    environment = {
        **os.environ,
        "RUNMETER_CONSOLE_API_PORT": str(free_ports("console_api")["console_api"]),
        "RUNMETER_DATA_DIR": str(place.data_dir),
        "RUNMETER_DATABASE_URL": place.settings.url.get_secret_value(),
        "RUNMETER_REDIS_URL": redis_url,
        "RUNMETER_KAFKA_BOOTSTRAP": kafka,
        "RUNMETER_CONNECTORS_PRIVATE_HOSTS": "127.0.0.1",
        "RUNMETER_ALERTS_POLL_MS": "50",
        "RUNMETER_ALERTS_BATCH": str(_BATCH),
        "RUNMETER_ALERTS_LEASE_MS": "3000",
        "RUNMETER_ALERTS_RETRY_MIN_MS": "1000",
    }
    log = (place.data_dir / "console_api.log").open("ab")
    made = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "console_api", cwd=ROOT, env=environment, stdout=log, stderr=log
    )
    try:
        yield made
    finally:
        if made.returncode is None:
            made.terminate()
            await made.wait()
        log.close()


async def publish(kafka: str, events: list[LimitEvent]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    for number, event in enumerate(events):
        # Spread over partitions, so that both processes hear some.
        await producer.send_and_wait(
            topics.LIMITS.name, encode(event), key=event.org_id.encode(), partition=number % 8
        )
    await producer.stop()


async def test_each_threshold_is_told_once_through_a_kill(
    told: Alerted, place: Place, redis_url: str, kafka: str
) -> None:
    channel_id = await told.channel()
    async with told.world.database.writing() as session:
        wanted = RuleChange(enabled=True, channels=[channel_id])
        await rules.change(session, told.principal(), "credits", wanted, now_ms())
    events = [wallet_event(told.world, 800, period_start_ms=start) for start in range(1, 41)]

    async with process(place, redis_url, kafka) as first, process(place, redis_url, kafka):
        await publish(kafka, [*events, *events[::-1]])
        await until(lambda: len(told.party.asked) >= 5, "messages arrive")
        first.kill()
        await first.wait()
        async with process(place, redis_url, kafka):
            await publish(kafka, events)
            await eventually(lambda: _all_sent(told, len(events)), "every message is sent")

    arrived = Counter(verified(asked)["data"]["alert_id"] for asked in told.party.asked)
    ids = {asked.headers["webhook-id"] for asked in told.party.asked}
    assert len(await told.alerts()) == len(arrived) == len(ids) == len(events)
    # Only what was under way at the kill may have come twice, under the id it had.
    assert sum(arrived.values()) - len(events) <= _BATCH


async def _all_sent(told: Alerted, wanted: int) -> bool:
    return [message.status for message in await told.deliveries()] == ["sent"] * wanted
