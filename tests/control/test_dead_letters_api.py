"""Refused records become known, are shown safely, and are published once more through the outbox."""

from __future__ import annotations

from typing import Any

import pytest
from control_server import Answer, Api
from control_world import NOW, World

from console_api import operating
from console_api.control.intake import Intake
from console_api.dead_letters import repository, service
from console_api.metrics import Metrics
from kit.clock import new_id
from kit.settings import KafkaSettings
from schemas import topics
from schemas.directory import Role
from schemas.events import DeadLetter, encode


def _letter(world: World, offset: int, **changes: Any) -> DeadLetter:
    fields: dict[str, Any] = {
        "topic": topics.TOKENS.name,
        "partition": 3,
        "offset": offset,
        "reason": "invalid_event",
        "detail": "`output` is negative",
        "worker": "metering-0",
        "recorded_at_ms": NOW + offset,
        "key": world.org_id.encode(),
        "value": b'{"output": -1}',
        **changes,
    }
    return DeadLetter(**fields)


async def _heard(world: World, *letters: DeadLetter) -> None:
    """Have them heard as from Kafka, through what decodes them."""

    async def take(events: Any) -> None:
        await service.take(world.database, events)

    intake = Intake(KafkaSettings(), operating.GROUP, {topics.DEAD_LETTERS: take}, Metrics())
    values: list[bytes | None] = [encode(letter) for letter in letters]
    await intake.take(topics.DEAD_LETTERS.name, [*values, b"not a letter", None])


async def _ask(api: Api, method: str, path: str, body: Any = None) -> Answer:
    return await api(method, path, body, headers=await api.headers("operator", ""))


async def test_letters_are_listed_newest_first_and_once(api: Api) -> None:
    letters = [_letter(api.world, 1), _letter(api.world, 2, topic=topics.RUNS.name, reason="undecodable")]
    await _heard(api.world, *letters)
    await _heard(api.world, letters[0])

    body = (await _ask(api, "GET", "/dead_letters")).body

    assert [letter["letter_id"] for letter in body["letters"]] == ["usage.runs-3-2", "usage.tokens-3-1"]
    assert {letter["org_id"] for letter in body["letters"]} == {api.world.org_id}
    assert [(one["topic"], one["reason"], one["letters"], one["waiting"]) for one in body["reasons"]] == [
        ("usage.runs", "undecodable", 1, 1),
        ("usage.tokens", "invalid_event", 1, 1),
    ]
    only = (await _ask(api, "GET", "/dead_letters?reason=undecodable&topic=usage.runs")).body["letters"]
    assert [letter["offset"] for letter in only] == [2]


async def test_pages_of_letters_follow_each_other(api: Api) -> None:
    await _heard(api.world, *[_letter(api.world, offset) for offset in range(5)])
    first = (await _ask(api, "GET", "/dead_letters?limit=3")).body
    second = (await _ask(api, "GET", f"/dead_letters?limit=3&cursor={first['next_cursor']}")).body
    seen = [letter["offset"] for letter in first["letters"] + second["letters"]]
    assert seen == [4, 3, 2, 1, 0]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("value", "encoding", "content", "cut"),
    [
        (b'{"a": "\xc3\xa9"}', "utf-8", '{"a": "\u00e9"}', False),
        (b"\xff\x00\x01", "hex", "ff 00 01", False),
        (b"\xc3\xa9" * 5_000, "utf-8", "\u00e9" * 4_096, True),
        (b"", "utf-8", "", False),
        (b"x" * (service.MAX_KEPT_BYTES + 1), "utf-8", "", True),
    ],
)
async def test_original_bytes_are_shown_as_far_as_they_are_safe(
    api: Api, value: bytes, encoding: str, content: str, cut: bool
) -> None:
    await _heard(api.world, _letter(api.world, 1, value=value))
    shown = (await _ask(api, "GET", "/dead_letters/usage.tokens-3-1")).body
    assert (shown["encoding"], shown["content"], shown["cut"]) == (encoding, content, cut)
    assert shown["size_bytes"] == len(value)


async def test_a_replay_publishes_the_original_bytes_once_and_says_so(api: Api) -> None:
    await _heard(api.world, _letter(api.world, 1))
    wanted = {"letter_ids": ["usage.tokens-3-1", "usage.tokens-3-99"]}

    first, again = [(await _ask(api, "POST", "/dead_letters:replay", wanted)).body for _ in range(2)]

    assert first["replayed"] == ["usage.tokens-3-1"]
    assert [one["letter_id"] for one in first["left_out"]] == ["usage.tokens-3-99"]
    assert again["replayed"] == []
    (row,) = [row for row in await api.world.outbox() if row.topic == topics.TOKENS.name]
    assert (row.key, row.payload) == (api.world.org_id, b'{"output": -1}')
    (listed,) = (await _ask(api, "GET", "/dead_letters")).body["letters"]
    assert (listed["replays"], listed["replayed_at_ms"]) == (1, NOW)
    assert listed["replayed_by"] == "operator@example.com"
    assert (await _ask(api, "GET", "/dead_letters?waiting=true")).body["letters"] == []
    (entry,) = await api.world.audited("usage.tokens-3-1")
    assert entry.action == "dead_letter.replay"

    forced = (await _ask(api, "POST", "/dead_letters:replay", {**wanted, "again": True})).body
    assert forced["replayed"] == ["usage.tokens-3-1"]
    assert len([row for row in await api.world.outbox() if row.topic == topics.TOKENS.name]) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"value": b"x" * (service.MAX_KEPT_BYTES + 1)},
        {"value": None},
        {"topic": "usage.of_old"},
        {"topic": topics.BILLING.name, "worker": "export-stripe/0"},
    ],
)
async def test_what_cannot_be_replayed_here_is_left_out_with_the_reason(
    api: Api, changes: dict[str, Any]
) -> None:
    letter = _letter(api.world, 1, **changes)
    await _heard(api.world, letter)
    body = (await _ask(api, "POST", "/dead_letters:replay", {"letter_ids": [service.letter_id(letter)]})).body
    assert body["replayed"] == []
    assert len(body["left_out"][0]["why"]) > 10
    assert await api.world.outbox() == []


async def test_two_destinations_that_refuse_one_record_have_a_letter_each(api: Api) -> None:
    refused = [
        _letter(api.world, 1, topic=topics.BILLING.name, worker=f"export-{name}/0") for name in ("a", "b")
    ]
    await _heard(api.world, *refused, *refused)
    body = (await _ask(api, "GET", "/dead_letters")).body
    assert {letter["letter_id"] for letter in body["letters"]} == {
        "billing.records-3-1-export-a",
        "billing.records-3-1-export-b",
    }


@pytest.mark.parametrize("key", [None, b"\xff\xfe", b"nobodys-org", b"x" * 2_000])
async def test_what_belongs_to_nobody_is_shown_to_the_only_marketplace(api: Api, key: bytes | None) -> None:
    await _heard(api.world, _letter(api.world, 1, key=key))
    (listed,) = (await _ask(api, "GET", "/dead_letters")).body["letters"]
    assert listed["org_id"] == ""

    await World.create(api.world.database, new_id("tenant"))
    assert (await _ask(api, "GET", "/dead_letters")).body["letters"] == []
    assert (await _ask(api, "GET", "/dead_letters/usage.tokens-3-1")).status == 404


async def test_another_marketplaces_letters_are_not_there(api: Api) -> None:
    other = await World.create(api.world.database, new_id("tenant"))
    await _heard(api.world, _letter(other, 1))
    assert (await _ask(api, "GET", "/dead_letters")).body["letters"] == []
    assert (await _ask(api, "GET", "/dead_letters/usage.tokens-3-1")).status == 404
    body = (await _ask(api, "POST", "/dead_letters:replay", {"letter_ids": ["usage.tokens-3-1"]})).body
    assert body["replayed"] == []


@pytest.mark.parametrize("role", ["owner", "admin", "member", "viewer"])
async def test_letters_are_the_operators_business(api: Api, role: Role) -> None:
    await _heard(api.world, _letter(api.world, 1))
    for method, path, body in (
        ("GET", "/dead_letters", None),
        ("GET", "/dead_letters/usage.tokens-3-1", None),
        ("POST", "/dead_letters:replay", {"letter_ids": ["usage.tokens-3-1"]}),
    ):
        assert (await api(method, path, body, role=role)).status == 403


async def test_the_oldest_letters_give_way(world: World) -> None:
    await _heard(world, *[_letter(world, offset) for offset in range(6)])
    async with world.database.writing() as session:
        await repository.prune(session, NOW + 2, keep=3)
    async with world.database.reading() as session:
        left = await repository.page(
            session,
            world.tenant_id,
            alone=True,
            topic="",
            reason="",
            waiting=False,
            before=None,
            limit=10,
        )
    assert [row.offset for row in left] == [5, 4, 3]
