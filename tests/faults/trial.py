"""One fault under load: inject at a random moment, heal, come to rest, judge."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from oracle import Difference, judge
from witnesses import METERED, RAW_TABLES, Offsets
from world import Load, TookTooLong, World, eventually

#: `answers`: runs that clients get answers of; the others: records that are applied, stored, published.
Watch = Literal["answers", "metering", "warehouse", "ledger"]

_RECOVERY_S = 90.0
_QUIET_S = 150.0
#: Ledger and `runs` follow what `unquiet` can see by this much at most.
_AGREE_S = 45.0
_CLIENTS = 10


@dataclass
class Plan:
    """What all trials of a run of the harness share."""

    runs: int = 60
    long: bool = False
    clients: int = _CLIENTS


class Fault:
    """Something that goes wrong. `inject` brings it about, `heal` ends it."""

    name = ""
    #: Settings of the stack it needs; trials with the same settings share one.
    env: Mapping[str, str] = {}
    proxied = False
    #: The control plane's database is a PostgreSQL of the stack's own.
    sql = False
    #: The spools lie on a disk of 1 MiB.
    tiny_disk = False
    #: Kafka is a cluster of three.
    three_brokers = False
    #: The stack is of no use for another fault afterwards.
    spoils = False
    #: What has to move on again, and from when the time until it does is taken.
    watch: Watch = "metering"
    recovers_after: Literal["inject", "heal"] = "inject"
    recovery_limit_s = 15.0
    expects = "exact"

    def missing(self) -> str:
        """Return what this machine lacks for the fault."""
        return ""

    async def prepare(self, world: World) -> None:
        """Get ready before there is load."""

    def gateway_url(self, world: World) -> str:
        """Return where the load goes."""
        return world.urls.gateway_url

    async def inject(self, world: World, chance: random.Random, plan: Plan) -> None:
        raise NotImplementedError

    async def heal(self, world: World) -> None:
        """End the fault; what the supervisor heals by itself needs nothing."""

    async def check(self, world: World) -> list[str]:
        """Return what else is wrong, once all is quiet."""
        return []

    def notes(self) -> list[str]:
        """Return what is worth knowing beside the figures."""
        return []


@dataclass
class Verdict:
    """What became of one fault."""

    fault: str
    runs: int = 0
    #: Until anything new was answered or applied, and until it was for each client or partition with load.
    first_s: float | None = None
    recovery_s: float | None = None
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    skipped: str = ""

    def count(self, kind: str) -> int:
        return sum(difference.kind == kind for difference in self.differences)

    @property
    def red(self) -> bool:
        return bool(self.differences)


async def attempt(world: World, fault: Fault, chance: random.Random, plan: Plan) -> Verdict:
    """Try one fault on a running stack."""
    verdict = Verdict(fault.name)
    await fault.prepare(world)
    load = world.start_load(chance.randrange(1 << 30), plan.clients, fault.gateway_url(world))
    try:
        await load.reach(int(plan.runs * chance.uniform(0.15, 0.5)))
        await asyncio.sleep(chance.uniform(0, 0.3))
        began = time.monotonic()
        await fault.inject(world, chance, plan)
        if fault.recovers_after == "heal":
            await fault.heal(world)
            began = time.monotonic()
        marks = await _marks(world, fault.watch)
        for every in (False, True):
            await eventually(
                lambda every=every: _moved(world, fault.watch, marks, every),  # type: ignore[misc]
                f"{fault.watch} goes on",
                _RECOVERY_S,
            )
            taken = time.monotonic() - began
            verdict.first_s, verdict.recovery_s = verdict.first_s or taken, taken
        if fault.recovers_after == "inject":
            await fault.heal(world)
        await load.reach(plan.runs)
    except TookTooLong as late:
        verdict.differences.append(Difference("other", fault.name, str(late)))
    except Exception as error:
        # The judge is still asked: what it says tells more than how the injection failed.
        verdict.differences.append(Difference("other", fault.name, f"could not be injected: {error!r}"))
    await _stop(load, verdict)
    verdict.runs = load.answered
    world.told |= load.told()
    if verdict.recovery_s is not None and verdict.recovery_s > fault.recovery_limit_s:
        what = f"recovered after {verdict.recovery_s:.1f} s, allowed are {fault.recovery_limit_s:.0f}"
        verdict.differences.append(Difference("other", fault.name, what))
    verdict.differences += await settle(world)
    verdict.differences += [Difference("other", fault.name, what) for what in await fault.check(world)]
    verdict.notes += [*fault.notes(), *_notes(load)]
    return verdict


async def _stop(load: Load, verdict: Verdict) -> None:
    try:
        await load.finish()
    except Exception as error:
        verdict.differences.append(Difference("other", verdict.fault, f"a client failed: {error!r}"))


def _notes(load: Load) -> list[str]:
    tally = load.traffic.tally
    lost = sum(sent.error_code == "runner_lost" for sent in tally.sent.values())
    notes = [f"{tally.retried} retries"] if tally.retried else []
    notes += [f"{lost} told runner_lost"] if lost else []
    notes += [f"{tally.gave_up} never answered"] if tally.gave_up else []
    return notes


async def settle(world: World) -> list[Difference]:
    """Wait until nothing is under way, then judge; return what is still different when the time is up."""
    left: list[str] = []

    async def quiet() -> bool:
        left[:] = ["a store does not answer"]
        left[:] = await world.see.unquiet()
        return not left

    try:
        await eventually(quiet, "the stack comes to rest", _QUIET_S)
    except TookTooLong as late:
        return [Difference("other", "stack", f"{late}: {left}"), *await _judged(world)]
    found: list[Difference] = []

    async def agreed() -> bool:
        found[:] = await _judged(world)
        return not found

    try:
        await eventually(agreed, "all outputs agree", _AGREE_S)
    except TookTooLong:
        return found or [Difference("other", "stack", "the outputs could not be read")]
    return await _reconciled(world)


async def _reconciled(world: World) -> list[Difference]:
    """Ask the product's own reconciliation, too: it has to agree with the independent judge."""
    status, said = await world.runmeter("reconcile", "--json")
    if not status:
        return []
    try:
        differences = json.loads(said.splitlines()[-1])["differences"]
    except (ValueError, IndexError, KeyError):
        differences = [said[-500:]]
    return [Difference("other", "reconcile", str(line)) for line in differences[:20]]


async def _judged(world: World) -> list[Difference]:
    outputs = await world.see.collect(world.planted)
    outputs.told = world.told
    return judge(outputs)


async def _positions(world: World, watch: Watch) -> Offsets:
    """Return how far the watched part has come."""
    if watch == "metering":
        return {at: n for at, n in (await world.see.fences()).items() if at[0] in METERED}
    if watch == "warehouse":
        return await world.see.stored_ends()
    return await world.see.log.ends(["credits.ledger"])


async def _marks(world: World, watch: Watch) -> Offsets:
    """Return, of each partition, the end of the log: what lies beyond came after the fault."""
    found: Offsets = {}
    if watch == "answers":
        return {("answers", 0): world.load.answered}
    topics = ["credits.ledger"] if watch == "ledger" else list(RAW_TABLES)

    async def read() -> bool:
        found.update(await world.see.log.ends(topics))
        return True

    await eventually(read, "Kafka tells its logs' ends", _RECOVERY_S)
    return found


async def _moved(world: World, watch: Watch, marks: Offsets, every: bool) -> bool:
    """Return whether a partition with load, or every one, has come beyond its mark in some topic."""
    if watch == "answers":
        # One answer of each client may have been under way; one more was not.
        more = world.load.answered - marks["answers", 0]
        return more > world.load.clients if every else more > 0
    now = await _positions(world, watch)
    beyond = {partition for (topic, partition), end in marks.items() if now.get((topic, partition), 0) > end}
    return world.loaded <= beyond if every else bool(world.loaded & beyond)
