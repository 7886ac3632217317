"""Transcripts: taken in once, kept as long as they may be, shown to their owners, and really deleted."""

from __future__ import annotations

from typing import Any

import pytest
from control_server import Api
from control_world import NOW, World
from redis.asyncio import Redis
from sqlalchemy import select

from console_api.conversations import repository
from console_api.conversations.intake import Intake
from console_api.database.tables import Conversation, Turn
from kit.settings import ConversationSettings, KafkaSettings
from schemas import keys
from schemas.conversations import CitedSource, ConversationTurn, FeedbackEvent
from schemas.topics import DAY_MS


def at(world: World, rest: str = "") -> str:
    return f"/instances/{world.instance_id}/conversations{rest}"


def turn(world: World, run_id: str, conversation: str = "conv_1", **fields: Any) -> ConversationTurn:
    return ConversationTurn(
        **{
            "tenant_id": world.tenant_id,
            "org_id": world.org_id,
            "instance_id": world.instance_id,
            "run_id": f"{world.instance_id}_{run_id}",
            "conversation": f"{world.instance_id}_{conversation}",
            "channel": "widget",
            "model": "gpt-4o-mini",
            "status": "completed",
            "question": f"Question {run_id}",
            "answer": f"Answer {run_id}",
            "citations": [CitedSource(source_id="src_1", title="Handbook", page=2)],
            "redacted": True,
            "started_at_ms": NOW,
            "occurred_at_ms": NOW + 1_000,
            **fields,
        }
    )


def feedback(world: World, run_id: str, rating: Any, **fields: Any) -> FeedbackEvent:
    return FeedbackEvent(
        **{
            "tenant_id": world.tenant_id,
            "org_id": world.org_id,
            "instance_id": world.instance_id,
            "run_id": f"{world.instance_id}_{run_id}",
            "rating": rating,
            "occurred_at_ms": NOW + 5_000,
            **fields,
        }
    )


def intake(world: World, days: int = 30) -> Intake:
    return Intake(world.database, ConversationSettings(retention_days=days), KafkaSettings())


async def rows(world: World) -> list[Turn]:
    async with world.database.reading() as session:
        return list(await session.scalars(select(Turn).where(Turn.instance_id == world.instance_id)))


async def test_what_was_said_is_shown_in_order(api: Api, world: World) -> None:
    said = [turn(world, "run_2", started_at_ms=NOW + 10), turn(world, "run_1")]
    await intake(world).take([*said, *said])  # Kafka may tell twice

    page = (await api("GET", at(world))).body
    [one] = page["conversations"]
    assert (one["turns"], one["title"], one["last_at_ms"]) == (2, "Question run_1", NOW + 10)
    assert (page["retention_days"], page["next_cursor"]) == (30, None)
    shown = (await api("GET", at(world, f"/{one['conversation_id']}"))).body
    assert [each["answer"] for each in shown["transcript"]] == ["Answer run_1", "Answer run_2"]
    assert shown["transcript"][0]["citations"] == [
        {"source_id": "src_1", "title": "Handbook", "section": "", "page": 2}
    ]
    assert shown["transcript"][0]["feedback"] is None


async def test_pages_go_from_the_latest_to_the_first(api: Api, world: World) -> None:
    await intake(world).take([turn(world, f"run_{n}", f"conv_{n}", started_at_ms=NOW + n) for n in range(5)])
    found, cursor = [], ""
    while True:
        page = (await api("GET", at(world, f"?limit=2{cursor}"))).body
        found += [each["title"] for each in page["conversations"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert found == [f"Question run_{n}" for n in (4, 3, 2, 1, 0)]


async def test_feedback_finds_its_turn_even_if_it_comes_first(api: Api, world: World) -> None:
    ear = intake(world)
    await ear.take([feedback(world, "run_1", "down", comment="Wrong")])
    await ear.take([turn(world, "run_1")])
    await ear.take([feedback(world, "run_1", "up", occurred_at_ms=NOW)])  # older: changes nothing

    [row] = await rows(world)
    shown = (await api("GET", at(world, f"/{row.conversation_id}"))).body["transcript"][0]
    assert shown["feedback"] == {"rating": "down", "comment": "Wrong", "at_ms": NOW + 5_000}


async def test_what_was_disliked_is_counted_and_found(api: Api, world: World) -> None:
    ear = intake(world)
    await ear.take([turn(world, f"run_{n}", f"conv_{n}", started_at_ms=NOW + n) for n in range(4)])
    await ear.take([turn(world, "run_5", "conv_1", started_at_ms=NOW + 9)])
    rated = {"run_0": "up", "run_1": "down", "run_3": "down", "run_5": "up"}
    await ear.take([feedback(world, run_id, rating) for run_id, rating in rated.items()])

    shown = (await api("GET", at(world))).body["conversations"]
    assert [(one["title"], one["thumbs_up"], one["thumbs_down"]) for one in shown] == [
        ("Question run_1", 1, 1),
        ("Question run_3", 0, 1),
        ("Question run_2", 0, 0),
        ("Question run_0", 1, 0),
    ]
    first = (await api("GET", at(world, "?rating=down&limit=1"))).body
    rest = (await api("GET", at(world, f"?rating=down&limit=1&cursor={first['next_cursor']}"))).body
    found = [one["title"] for page in (first, rest) for one in page["conversations"]]
    assert (found, rest["next_cursor"]) == (["Question run_1", "Question run_3"], None)
    assert (await api("GET", at(world, "?rating=meh"))).status == 422


async def test_nobody_rates_anothers_answer(world: World) -> None:
    ear = intake(world)
    await ear.take([turn(world, "run_1")])
    for foreign in ({"org_id": "org_2"}, {"tenant_id": "t_2"}, {"instance_id": "inst_2"}):
        await ear.take([feedback(world, "run_1", "down", **foreign)])

    assert [row.rating for row in await rows(world)] == [""]


async def test_deleted_is_gone_and_stays_gone(api: Api, world: World, redis: Redis) -> None:
    ear = intake(world)
    await ear.take([turn(world, "run_1")])
    [row] = await rows(world)
    memory = keys.conversation(world.instance_id, row.conversation_id)
    await redis.rpush(memory, b"{}")  # type: ignore[misc]

    assert (await api("DELETE", at(world, f"/{row.conversation_id}"))).status == 204
    assert await redis.exists(memory) == 0
    assert await rows(world) == []
    # What Kafka still has of it comes late, or again.
    await ear.take([turn(world, "run_1"), turn(world, "run_0")])
    assert await rows(world) == []
    assert (await api("GET", at(world))).body["conversations"] == []
    assert (await api("GET", at(world, f"/{row.conversation_id}"))).status == 404
    async with world.database.reading() as session:
        kept = await repository.conversation(session, row.conversation_id)
    assert kept is not None
    assert (kept.title, kept.turns) == ("", 0)
    # A conversation that goes on begins anew.
    await ear.take([turn(world, "run_9", started_at_ms=world.clock() + 1)])
    assert [each.question for each in await rows(world)] == ["Question run_9"]


async def test_what_is_over_is_purged_and_not_shown(api: Api, world: World) -> None:
    await intake(world, days=1).take(
        [turn(world, "run_1", "conv_1"), turn(world, "run_2", "conv_2", occurred_at_ms=NOW + DAY_MS)]
    )
    world.clock.at_ms = NOW + DAY_MS + 2_000

    shown = (await api("GET", at(world))).body["conversations"]
    assert [each["title"] for each in shown] == ["Question run_2"]
    async with world.database.writing() as session:
        await repository.purge(session, world.clock(), 100)
        await repository.purge(session, world.clock(), 100)
    assert [row.question for row in await rows(world)] == ["Question run_2"]
    async with world.database.reading() as session:
        left = await session.scalars(
            select(Conversation.title).where(Conversation.instance_id == world.instance_id)
        )
        assert list(left) == ["Question run_2"]


@pytest.mark.parametrize("odd", [{"org_id": "org_2"}, {"instance_id": "inst_2"}])
async def test_turns_of_nobody_are_not_kept(world: World, odd: dict[str, str]) -> None:
    await intake(world).take([turn(world, "run_1", **odd)])

    assert await rows(world) == []


async def test_none_are_kept_where_none_are_wanted(world: World) -> None:
    await intake(world, days=0).take([turn(world, "run_1")])

    assert await rows(world) == []


async def test_nobody_else_reads_or_deletes_them(api: Api, world: World) -> None:
    await intake(world).take([turn(world, "run_1")])
    [row] = await rows(world)
    path = at(world, f"/{row.conversation_id}")
    for headers in (
        await api.headers("owner", org_id="org_foreign"),
        await api.headers("owner", org_id="", tenant_id="tenant_foreign"),
    ):
        assert (await api("GET", at(world), headers=headers)).status == 404
        assert (await api("GET", path, headers=headers)).status == 404
        assert (await api("DELETE", path, headers=headers)).status == 404
    assert (await api("GET", path, role="viewer")).status == 200
    assert (await api("DELETE", path, role="viewer")).status == 403
    assert len(await rows(world)) == 1
