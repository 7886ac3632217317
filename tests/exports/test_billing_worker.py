"""The billing worker on real servers: one record per change, whatever is killed or forgotten."""

from __future__ import annotations

import asyncio
import random

import pytest
from billing_log import billing_log, contents
from ledger_entries import entry
from streams_rig import BOOK, RUN_COSTS, Rig
from waiting import eventually

from schemas.events import CorrectionEvent
from schemas.topics import CORRECTIONS, LEDGER

BILLING = "streams.billing"


async def sums_to(rig: Rig, prefix: str, runs: int, micro: int) -> None:
    async def told() -> bool:
        by_id = contents([r for r in await billing_log(rig.kafka) if r["run_id"].startswith(prefix)])
        changes = sum(record["charged_micro_change"] for record in by_id.values())
        return (sum(record["runs_change"] for record in by_id.values()), changes) == (runs, micro)

    await eventually(told, f"{runs} runs of {prefix} are billed with {micro}")


@pytest.mark.timeout(300)
async def test_runs_that_were_metered_and_corrected_are_billed_what_their_wallets_paid(rig: Rig) -> None:
    workers = [rig.start(module) for module in ("streams.metering", "streams.relay", BILLING)]
    await rig.send_runs("real", 200)
    await sums_to(rig, "real-", 200, 200 * RUN_COSTS)

    void = [
        CorrectionEvent(
            tenant_id="t",
            org_id=f"org-{n % 8}",
            instance_id=f"inst-{n % 8}",
            run_id=f"real-{n}",
            channel="api",
            price_version=BOOK.version,
            started_at_ms=entry("x").run.started_at_ms,  # type: ignore[union-attr]
            occurred_at_ms=entry("x").occurred_at_ms,
            request_id=f"void-{n}",
            kind="void",
        )
        for n in range(20)
    ]
    await rig.send(CORRECTIONS, void)

    await sums_to(rig, "real-", 200, 180 * RUN_COSTS)

    async def paid() -> bool:
        return await rig.charged() == 180 * RUN_COSTS

    await eventually(paid, "the wallets paid what was billed")
    for worker in workers:
        worker.kill()
        worker.wait()


@pytest.mark.timeout(300)
async def test_kill_9_and_an_emptied_redis_change_no_record(rig: Rig) -> None:
    chance = random.Random(7)
    worker = rig.start(BILLING)
    for number in range(4):
        runs = [f"killed-{number}-{n}" for n in range(300)]
        closed = [entry(run, org_id=f"org-{n % 8}") for n, run in enumerate(runs)]
        corrected = [entry(run, 6, org_id=f"org-{n % 8}", charged_micro=100) for n, run in enumerate(runs)]
        sending = asyncio.create_task(rig.send(LEDGER, [*closed, *corrected, *closed]))
        await asyncio.sleep(chance.uniform(0.1, 1.0))
        worker.kill()
        worker.wait()
        if number == 2:
            await rig.redis.flushdb()
        worker = rig.start(BILLING)
        await sending

    await sums_to(rig, "killed-", 1_200, 120_000)
    by_id = contents([r for r in await billing_log(rig.kafka) if r["run_id"].startswith("killed-")])
    assert {record_id.rpartition(".")[2] for record_id in by_id} == {"1", "2"}
    worker.kill()
    worker.wait()


@pytest.mark.timeout(300)
async def test_a_redis_that_went_back_under_a_running_worker_is_noticed(rig: Rig) -> None:
    worker = rig.start(BILLING)
    await rig.send(LEDGER, [entry(f"back-{n}", org_id=f"org-{n % 8}") for n in range(64)])
    await sums_to(rig, "back-", 64, 64 * 227)

    await rig.redis.flushdb()
    await rig.send(LEDGER, [entry(f"back-{n}", 9, org_id=f"org-{n % 8}", charged_micro=1) for n in range(64)])

    await sums_to(rig, "back-", 64, 64)
    assert worker.poll() is None
    worker.kill()
    worker.wait()
