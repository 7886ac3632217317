"""How often a batch is tried, how long is waited, and what is not tried again."""

from __future__ import annotations

from dataclasses import dataclass, field

from exporting import records

from kit.settings import ExportsSettings
from schemas.events import encode
from streams.exports.port import Batch, Item, Refusal, Refused, Unavailable
from streams.exports.shipper import Shipper

HOUR_MS = 3_600_000


def batch(count: int = 8) -> Batch:
    items = [Item(n, record, encode(record)) for n, record in enumerate(records("t", "run", count))]
    return Batch(0, 0, count - 1, items)


@dataclass
class Script:
    """A destination that answers as it is told, and then takes everything but some ids."""

    answers: list[Exception] = field(default_factory=list)
    poison: frozenset[str] = frozenset()
    repeatable_ms: int = 0
    taken: list[str] = field(default_factory=list)
    attempts: int = 0

    async def deliver(self, batch: Batch) -> list[Refusal]:
        self.attempts += 1
        if self.answers:
            raise self.answers.pop(0)
        named = [item.record.record_id for item in batch.items]
        if self.poison & set(named):
            raise Refused("status_422", "one of these")
        self.taken += named
        return []

    async def spans(self, partition: int) -> list[tuple[int, int]]:
        return []

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class Rig:
    """A shipper whose time passes only while it waits."""

    script: Script
    now_ms: int = 1_000_000
    waits_s: list[float] = field(default_factory=list)
    told: list[tuple[str, int]] = field(default_factory=list)

    async def ship(self, some: Batch, since_ms: int = 0) -> list[Refusal]:
        async def sleep(seconds: float) -> None:
            self.waits_s.append(seconds)
            self.now_ms += int(seconds * 1000)

        async def told(error: str, since_ms: int) -> None:
            self.told.append((error, since_ms))

        settings = ExportsSettings(retry_min_ms=100, retry_max_ms=1_000)
        shipper = Shipper(
            "x", self.script, settings, clock=lambda: self.now_ms, chance=lambda: 1.0, sleep=sleep
        )
        return await shipper.ship(some, since_ms, told)


async def test_waits_double_up_to_the_longest_and_a_receiver_may_ask_for_more() -> None:
    answers: list[Exception] = [Unavailable("away", arrived=False) for _ in range(5)]
    rig = Rig(Script([*answers, Unavailable("busy", retry_after_s=7.0)]))

    assert await rig.ship(batch()) == []

    assert rig.waits_s == [0.1, 0.2, 0.4, 0.8, 1.0, 7.0]
    assert [error for error, _ in rig.told] == ["away"] * 5 + ["busy"]
    assert len(rig.script.taken) == 8


async def test_of_a_refused_batch_only_the_record_that_is_why_is_left_out() -> None:
    some = batch(16)
    bad = {some.items[3].record.record_id, some.items[9].record.record_id}
    rig = Rig(Script(poison=frozenset(bad)))

    refusals = await rig.ship(some)

    assert {refusal.item.record.record_id for refusal in refusals} == bad
    assert {refusal.reason for refusal in refusals} == {"status_422"}
    assert sorted(rig.script.taken) == sorted(
        item.record.record_id for item in some.items if item.record.record_id not in bad
    )
    assert rig.script.attempts < 16


async def test_an_attempt_of_unknown_outcome_is_repeated_while_the_receiver_knows_ids() -> None:
    rig = Rig(Script(repeatable_ms=23 * HOUR_MS), now_ms=100 * HOUR_MS)

    assert await rig.ship(batch(), since_ms=78 * HOUR_MS) == []
    assert len(rig.script.taken) == 8


async def test_an_attempt_of_unknown_outcome_is_not_repeated_when_that_could_count_twice() -> None:
    rig = Rig(Script(repeatable_ms=23 * HOUR_MS), now_ms=100 * HOUR_MS)

    refusals = await rig.ship(batch(), since_ms=76 * HOUR_MS)

    assert [refusal.reason for refusal in refusals] == ["outcome_unknown"] * 8
    assert rig.script.attempts == 0


async def test_an_outage_in_which_nothing_arrived_may_last_for_ever() -> None:
    answers: list[Exception] = [Unavailable("away", arrived=False, retry_after_s=HOUR_MS / 1000)] * 60
    rig = Rig(Script(answers, repeatable_ms=23 * HOUR_MS))

    assert await rig.ship(batch()) == []
    assert len(rig.script.taken) == 8
    # Whoever takes over after a crash is told when the attempt before may have arrived.
    assert all(since_ms for _, since_ms in rig.told)


async def test_an_answer_that_was_lost_in_an_outage_is_remembered_from_the_first_on() -> None:
    away = [Unavailable("away", arrived=False, retry_after_s=HOUR_MS / 1000) for _ in range(40)]
    rig = Rig(Script([Unavailable("the answer was lost"), *away], repeatable_ms=23 * HOUR_MS))

    refusals = await rig.ship(batch())

    assert [refusal.reason for refusal in refusals] == ["outcome_unknown"] * 8
    assert rig.script.attempts == 24
