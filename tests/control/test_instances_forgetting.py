"""What an instance that has ended leaves behind."""

from __future__ import annotations

from typing import cast

from control_server import Api
from control_world import World
from sqlalchemy import select
from test_conversations_api import intake, rows, turn
from test_knowledge_api import (
    TEXT,
    api,  # noqa: F401 - a fixture
    blobs,  # noqa: F401 - a fixture
    hear,
    requests,
    sources,
)

from console_api.control.plane import ControlPlane
from console_api.database.tables import Secret
from console_api.instances.forgetting import Forgetter
from kit.embeddings import LOCAL_MODEL


async def test_what_an_instance_knew_and_could_call_is_forgotten_after_its_end(
    api: Api,  # noqa: F811
    world: World,
) -> None:
    source_id = (await api("POST", sources(world), TEXT)).body["source_id"]
    await hear(world, source_id, "ready", model=LOCAL_MODEL)
    slack = {"settings": {"channel": "#help"}, "credentials": {"bot_token": "xoxb-1234567890-abcdef"}}
    path = f"/instances/{world.instance_id}/connectors"
    made = await api("POST", path, {"kind": "slack", "name": "Support", **slack})
    assert made.status == 201, made.body
    forgetter = Forgetter(cast(ControlPlane, world), keep_days=30)
    said = intake(world, days=3_650)
    await said.take([turn(world, "run_1"), turn(world, "run_2", "conv_2")])
    assert await forgetter.turn() == (0, 0, 0)
    await world.set_status("ended")

    await forgetter.turn()
    async with world.database.reading() as session:
        kept = await session.scalars(select(Secret).where(Secret.org_id == world.org_id))
        assert kept.all() == []
    assert (await api("GET", path)).body["connectors"] == []
    assert len(await rows(world)) == 2
    world.clock.at_ms += 30 * 86_400_000

    # The API that is served has a forgetter of its own, which may have been first.
    await forgetter.turn()
    assert await rows(world) == []
    assert await forgetter.turn() == (0, 0, 0)
    # What Kafka brings late goes, too.
    await said.take([turn(world, "run_3")])
    await forgetter.turn()
    assert await rows(world) == []
    last = (await requests(world))[-1]
    assert (last.source_id, last.action, last.version) == (source_id, "delete", 2)
    assert (await api("GET", sources(world, f"/{source_id}"))).body["status"] == "deleting"
