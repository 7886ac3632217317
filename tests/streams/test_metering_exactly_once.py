"""One metering worker, real Kafka and Valkey: what is charged is exactly what was used."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer
from containers import rewritten
from redis.exceptions import RedisError
from streams_rig import BOOK, RUN_COSTS, Rig, run_events, running
from waiting import PATIENCE_S, eventually

from schemas import keys, topics
from schemas.events import DeadLetter, GrantEvent
from schemas.partitioning import partition_of
from stack.process import Child
from streams.lanes import EXIT_UNSAFE
from streams.replay import replay

METERING = "streams.metering"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    async with running(tmp_path_factory.mktemp("metering")) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def clean(rig: Rig) -> AsyncIterator[Rig]:
    """The rig with nobody working on it."""
    await rig.mark_projected()
    yield rig
    for process in rig.workers:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()
    rig.workers.clear()


async def test_runs_are_charged_once_though_their_events_come_three_times_and_shuffled(clean: Rig) -> None:
    rig, before = clean, await clean.charged()
    events = run_events("shuffled", 200)
    for topic, made in events.items():
        thrice = made * 3
        random.Random(3).shuffle(thrice)
        await rig.send(topics.BY_NAME[topic], thrice)
    applied = await rig.fences()
    rig.start(METERING)

    async def all_applied() -> bool:
        return await rig.fences() == applied + 200 * 5 * 3

    await eventually(all_applied, "all records are applied")
    assert await rig.charged() - before == 200 * RUN_COSTS


@pytest.mark.timeout(300)
async def test_kill_9_at_random_moments_neither_loses_nor_doubles(clean: Rig) -> None:
    rig, chance = clean, random.Random(11)
    charged, counted = await rig.charged(), await rig.counted()
    worker = rig.start(METERING)
    sent = 0
    for round_number in range(5):
        sending = asyncio.create_task(rig.send_runs(f"killed-{round_number}", 1_500))
        await asyncio.sleep(chance.uniform(0.2, 2.5))
        worker.kill()
        worker.wait()
        worker = rig.start(METERING)
        await sending
        sent += 1_500

    async def all_charged() -> bool:
        return await rig.charged() - charged >= sent * RUN_COSTS

    await eventually(all_charged, "every run is charged")
    await asyncio.sleep(1.0)
    assert await rig.charged() - charged == sent * RUN_COSTS
    assert await rig.counted() - counted == sent


@pytest.mark.timeout(300)
async def test_two_workers_share_the_partitions_and_take_over_from_each_other(clean: Rig) -> None:
    rig, before = clean, await clean.charged()
    first, second = rig.start(METERING, "0"), rig.start(METERING, "1")
    await rig.send_runs("pair-a", 1_000)
    second.send_signal(signal.SIGSTOP)
    await rig.send_runs("pair-b", 1_000)

    async def taken_over() -> bool:
        return await rig.charged() - before == 2_000 * RUN_COSTS

    await eventually(taken_over, "the frozen worker's partitions were taken over")
    # The zombie wakes up with records it had read before: they trim to nothing.
    second.send_signal(signal.SIGCONT)
    await rig.send_runs("pair-c", 500)

    async def all_charged() -> bool:
        return await rig.charged() - before == 2_500 * RUN_COSTS

    await eventually(all_charged, "all is charged with the zombie back")
    assert first.poll() is None


@pytest.mark.timeout(300)
async def test_a_redis_that_lost_its_last_writes_is_brought_forward_again(clean: Rig) -> None:
    rig, before = clean, await clean.charged()
    data = rig.folder / "valkey"
    worker = rig.start(METERING)
    await rig.send_runs("early", 300)

    async def early() -> bool:
        return await rig.charged() - before == 300 * RUN_COSTS

    await eventually(early, "the first runs are charged")
    await _compacted(rig)
    shutil.copytree(data / "appendonlydir", rig.folder / "older", dirs_exist_ok=True)
    await rig.send_runs("late", 300)

    async def late() -> bool:
        return await rig.charged() - before == 600 * RUN_COSTS

    await eventually(late, "the later runs are charged")
    # Valkey dies and comes back as it was before the later runs, while the worker lives on.
    worker.send_signal(signal.SIGSTOP)
    await rig.valkey.stop()
    shutil.rmtree(data / "appendonlydir")
    shutil.copytree(rig.folder / "older", data / "appendonlydir")
    rig.valkey = Child(rig.valkey.spec, rig.folder / "logs", lambda: None)
    rig.valkey.start()
    assert await rig.valkey.wait_ready(PATIENCE_S)
    worker.send_signal(signal.SIGCONT)

    async def healed(runs: int) -> bool:
        try:
            return await rig.charged() - before == runs * RUN_COSTS
        except RedisError:
            return False

    # Nothing is sent: on a quiet partition, too, what Redis forgot is applied again.
    await eventually(lambda: healed(600), "what was lost is applied again")
    assert "seeking" in rig.log(METERING)
    await rig.send_runs("after", 100)
    await eventually(lambda: healed(700), "and nothing twice")


@pytest.mark.timeout(300)
async def test_a_topic_without_new_records_is_read_again_when_redis_went_back(clean: Rig) -> None:
    rig, before = clean, await clean.charged()
    data = rig.folder / "valkey"
    await _compacted(rig)
    shutil.copytree(data / "appendonlydir", rig.folder / "oldest", dirs_exist_ok=True)
    worker = rig.start(METERING)
    await rig.send_runs("lost", 200)

    async def charged(runs: int) -> bool:
        try:
            return await rig.charged() - before == runs * RUN_COSTS
        except RedisError:
            return False

    await eventually(lambda: charged(200), "the runs are charged")
    worker.send_signal(signal.SIGSTOP)
    await rig.valkey.stop()
    shutil.rmtree(data / "appendonlydir")
    shutil.copytree(rig.folder / "oldest", data / "appendonlydir")
    rig.valkey = Child(rig.valkey.spec, rig.folder / "logs", lambda: None)
    rig.valkey.start()
    assert await rig.valkey.wait_ready(PATIENCE_S)
    # Only openings come: the usage that was lost is in topics where nothing new is.
    events = run_events("opened", 50)[topics.RUNS.name]
    await rig.send(topics.RUNS, [event for event in events if event.status == "started"])
    worker.send_signal(signal.SIGCONT)
    await eventually(lambda: charged(200), "the usage is applied again")


async def test_poison_becomes_dead_letters_and_the_rest_flows(clean: Rig) -> None:
    rig, before = clean, await clean.charged()
    rig.start(METERING)
    good = run_events("beside-poison", 20)
    token = good[topics.TOKENS.name][1]
    org = token.org_id  # type: ignore[attr-defined]
    partition = partition_of(org, rig.kafka.partitions)
    body = msgspec.to_builtins(token)
    poison = {
        "undecodable": b"{not json",
        "empty_value": b"",
        "invalid_event": msgspec.json.encode({**body, "output": -1}),
        "unknown_price_version": msgspec.json.encode({**body, "price_version": "nowhere"}),
    }
    for value in poison.values():
        await rig.producer.send_and_wait(topics.TOKENS.name, value, key=org.encode(), partition=partition)
    await rig.producer.send_and_wait(
        topics.TOKENS.name, msgspec.json.encode(body), key=org.encode(), partition=(partition + 1) % 8
    )
    for topic, made in good.items():
        await rig.send(topics.BY_NAME[topic], made)

    async def flowed() -> bool:
        return await rig.charged() - before == 20 * RUN_COSTS

    await eventually(flowed, "the good runs are charged")
    letters = await read_letters(rig, 5)
    assert sorted(letter.reason for letter in letters) == sorted([*poison, "wrong_partition"])
    assert {letter.value for letter in letters} >= {value or None for value in poison.values()} - {None}


async def test_a_dead_letter_replayed_after_its_cause_is_fixed_is_charged(clean: Rig) -> None:
    rig, before = clean, await clean.charged()
    rig.start(METERING)
    for topic, made in run_events("replayed", 10).items():
        late = [msgspec.structs.replace(event, price_version="book-2") for event in made]  # type: ignore[type-var]
        await rig.send(topics.BY_NAME[topic], late)
    await read_letters(rig, 50, reason="unknown_price_version", ids="replayed")
    book = msgspec.structs.replace(BOOK, version="book-2")
    await rig.redis.set(keys.price_book("book-2"), msgspec.json.encode(book))

    counted = await replay(rig.kafka, topic=None, reason="unknown_price_version", limit=1_000, dry_run=False)

    assert counted.total() >= 50

    async def charged() -> bool:
        return await rig.charged() - before == 10 * RUN_COSTS

    await eventually(charged, "the replayed runs are charged, once")


async def test_a_price_book_that_redis_was_not_given_again_yet_is_waited_for(clean: Rig) -> None:
    rig, before, known = clean, await clean.charged(), await clean.redis.get(keys.projected())
    # As of another server: one that was restarted, and that the control plane has not filled again.
    await rig.redis.set(keys.projected(), "another")
    rig.start(METERING)
    for topic, made in run_events("awaited", 10).items():
        late = [msgspec.structs.replace(event, price_version="book-3") for event in made]  # type: ignore[type-var]
        await rig.send(topics.BY_NAME[topic], late)
    await eventually(lambda: _said(rig, "waiting for price books"), "the worker waits")
    assert await rig.charged() == before

    book = msgspec.structs.replace(BOOK, version="book-3")
    await rig.redis.set(keys.price_book("book-3"), msgspec.json.encode(book))
    await rig.redis.set(keys.projected(), known)

    async def charged() -> bool:
        return await rig.charged() - before == 10 * RUN_COSTS

    await eventually(charged, "none was refused meanwhile")


async def _compacted(rig: Rig) -> None:
    """Have Valkey write its append-only file anew, so that it can be copied as it stands."""
    await rig.redis.execute_command("BGREWRITEAOF")
    await eventually(lambda: rewritten(rig.redis), "the append-only file is rewritten")


async def _said(rig: Rig, line: str) -> bool:
    return line in rig.log(METERING)


async def test_a_grant_enters_its_wallet_once(clean: Rig) -> None:
    rig = clean
    rig.start(METERING)
    grant = GrantEvent(
        grant_id="g-1", tenant_id="t", org_id="org-0", kind="trial", amount_micro=5_000_000, occurred_at_ms=1
    )
    await rig.send(topics.GRANTS, [grant, grant])
    key = keys.wallet(partition_of("org-0", rig.kafka.partitions), "org-0")

    async def granted() -> bool:
        return await rig.redis.hget(key, "granted") == b"5000000"

    await eventually(granted, "the grant is in the wallet")
    await rig.send(topics.GRANTS, [grant])
    await rig.send_runs("after-grant", 8)
    await asyncio.sleep(1.0)
    assert await rig.redis.hget(key, "granted") == b"5000000"


async def test_a_missing_fence_stops_the_worker_before_anything_is_charged(clean: Rig) -> None:
    rig = clean
    key = keys.fence(0, topics.TOKENS.name)
    kept = await rig.redis.getdel(key)
    try:
        worker = rig.start(METERING)
        code = await asyncio.to_thread(worker.wait, PATIENCE_S)
        assert code == EXIT_UNSAFE
        assert "has no fence for usage.tokens" in rig.log(METERING)
    finally:
        await rig.redis.set(key, kept)


async def read_letters(rig: Rig, count: int, reason: str = "", ids: str = "") -> list[DeadLetter]:
    """Return the last `count` dead letters, once there are that many."""
    consumer = AIOKafkaConsumer(
        topics.DEAD_LETTERS.name,
        bootstrap_servers=rig.kafka.bootstrap,
        auto_offset_reset="earliest",
        group_id=None,
    )
    await consumer.start()
    found: list[DeadLetter] = []
    try:
        async with asyncio.timeout(PATIENCE_S):
            while len(found) < count:
                letter = msgspec.json.decode((await consumer.getone()).value, type=DeadLetter)
                if (not reason or letter.reason == reason) and ids.encode() in (letter.value or b""):
                    found.append(letter)
    finally:
        await consumer.stop()
    return found[-count:]
