"""Redis away, Kafka away, a runner or a gateway killed: who is told what, and that nothing used is lost."""

from __future__ import annotations

import asyncio
import shutil
import time
from typing import Any

from containers import free_ports
from gateway_log import PARTITIONS, until
from gateway_rig import Plane, Tenant, assert_problem, events
from kafka_gate import KafkaGate

from kit import tokens
from kit.clock import now_ms
from kit.publisher import Publisher
from kit.settings import KafkaSettings, SpoolSettings
from schemas import keys
from streams.relay.reaper import Reaper

_LONG = "Tell me everything [[fault:length:800]]"


async def test_without_redis_nothing_runs(plane: Plane, fast: Any, tenant: Tenant) -> None:
    address, _, database = plane.redis_url.removeprefix("redis://").partition("/")
    gate = KafkaGate(address, free_ports("gate")["gate"])
    await gate.open()
    gateway = await plane.gateway(fast.runner, REDIS_URL=f"redis://{gate.address}/{database}")

    async def ready(status: int) -> Any:
        answer = await plane.get(gateway, "/readyz")
        return answer if answer.status == status else None

    try:
        assert (await plane.ask(gateway, tenant)).status == 200
        await until(lambda: ready(200), "the gateway is ready")
        await gate.close()
        unready = await until(lambda: ready(503), "the gateway is unready")
        assert list(unready.json["problems"]) == ["redis"]
        unknown = await plane.tenant()
        for asking in (tenant, unknown):  # one that is cached, one that is not
            began = time.monotonic()
            answer = await plane.ask(gateway, asking)
            assert_problem(answer, 503, "limits_unavailable")
            assert int(answer.headers["Retry-After"]) >= 1
            assert time.monotonic() - began < 30
        for path in ("/v1/runs/run_x", "/v1/runs/run_x/cancel"):
            method = plane.post if path.endswith("cancel") else plane.get
            answer = await method(gateway, path, headers=tenant.headers)
            assert_problem(answer, 503, "limits_unavailable")
        await gate.open()
        await until(lambda: ready(200), "the gateway is ready again")
        assert (await plane.ask(gateway, tenant)).status == 200
        assert await plane.log.runs_of(unknown.instance_id) == {}
    finally:
        await gate.close()
        await gateway.stop()


async def test_a_run_outlives_redis(plane: Plane, slow: Any, tenant: Tenant) -> None:
    address, _, database = plane.redis_url.removeprefix("redis://").partition("/")
    gate = KafkaGate(address, free_ports("gate")["gate"])
    await gate.open()
    gateway = await plane.gateway(slow.runner, REDIS_URL=f"redis://{gate.address}/{database}")
    try:
        async with plane.streaming(gateway, tenant, "Hello [[fault:length:80]]") as response:
            assert response.status == 200
            await gate.close()
            told = [event async for event in events(response)]
        assert told[-1].name == "run.completed"
        metered = await plane.log.of(told[-1].data["run_id"])
        assert metered.closing.tokens_out == told[-1].data["usage"]["tokens_out"] == 80
    finally:
        await gate.close()
        await gateway.stop()


async def test_without_kafka_runs_go_on_and_nothing_is_lost(plane: Plane, fast: Any) -> None:
    spooling = await plane.tenant()
    gate = KafkaGate(plane.bootstrap, free_ports("gate")["gate"])
    await gate.open()
    settings = {"KAFKA_BOOTSTRAP": gate.address, "KAFKA_ACK_TIMEOUT_MS": "500"}
    runner = await plane.runner(fast.provider, **settings)
    gateway = await plane.gateway(runner, **settings)

    async def ready(service: Any, status: int) -> Any:
        answer = await plane.get(service, "/readyz")
        return answer if answer.status == status else None

    try:
        before = await plane.ask(gateway, spooling)
        assert before.status == 200
        await gate.close()
        during = [await plane.ask(gateway, spooling, f"Question {n}, and 3*{n}?") for n in range(5)]
        assert [answer.status for answer in during] == [200] * 5
        for service in (gateway, runner):
            unready = await until(lambda s=service: ready(s, 503), "it is unready")
            assert list(unready.json["problems"]) == ["kafka"]
        run_ids = {answer.json["run_id"] for answer in [before, *during]}
        assert set(await plane.log.runs_of(spooling.instance_id)) == {before.json["run_id"]}
        await gate.open()
        for service in (gateway, runner):
            await until(lambda s=service: ready(s, 200), "it is ready again")
        for answer in during:
            wanted = answer.json["usage"]
            metered = await plane.log.when(
                answer.json["run_id"],
                lambda run, calls=wanted["tool_calls"]: (
                    len({event.status for event in run.runs}) == 2
                    and len({event.tool_call_id for event in run.tools}) == calls
                    and len(run.last_words()) == calls + 1
                ),
                "the spool is published",
            )
            assert metered.closing.tokens_out == wanted["tokens_out"]
            assert sum(e.output for e in metered.last_words().values()) == wanted["tokens_out"]
        assert set(await plane.log.runs_of(spooling.instance_id)) == run_ids
    finally:
        await gate.close()
        await gateway.kill()
        await runner.kill()


async def test_what_a_runner_cannot_record_the_gateway_does_and_else_nobody_is_answered(
    plane: Plane, fast: Any
) -> None:
    tenant = await plane.tenant()
    gate = KafkaGate(plane.bootstrap, free_ports("gate")["gate"])
    await gate.open()
    settings = {"KAFKA_BOOTSTRAP": gate.address, "KAFKA_ACK_TIMEOUT_MS": "300"}
    runner = await plane.runner(fast.provider, **settings)
    gateway = await plane.gateway(runner)
    helpless = await plane.gateway(runner, **settings)
    try:
        assert (await plane.ask(helpless, tenant)).status == 200
        await gate.close()
        for service in (runner, helpless):
            # Without its folder a spool is like a full disk: each write fails.
            shutil.rmtree(plane.folder / f"spool-{service.port}")
        answer = await plane.ask(gateway, tenant, "What is 3*4?")
        assert (answer.status, answer.json["status"]) == (200, "completed")
        metered = await plane.log.of(answer.json["run_id"])
        usage = answer.json["usage"]
        assert sum(word.output for word in metered.last_words().values()) == usage["tokens_out"] > 0
        assert len({event.tool_call_id for event in metered.tools}) == usage["tool_calls"] == 1
        assert metered.closing.status == "completed"

        assert_problem(await plane.ask(helpless, tenant, "What is 3*4?"), 503, "metering_unavailable")
    finally:
        await gate.close()
        for service in (gateway, helpless, runner):
            await service.kill()


async def test_an_answer_is_shown_only_if_it_is_metered_and_closes_its_run_without_its_gateway(
    plane: Plane, fast: Any
) -> None:
    tenant = await plane.tenant()
    gate = KafkaGate(plane.bootstrap, free_ports("gate")["gate"])
    await gate.open()
    runner = await plane.runner(fast.provider)
    helpless = await plane.gateway(runner, KAFKA_BOOTSTRAP=gate.address, KAFKA_ACK_TIMEOUT_MS="300")
    publisher = Publisher(
        KafkaSettings(bootstrap=plane.bootstrap), SpoolSettings(), plane.folder / "spool-reaper"
    )
    await publisher.start()

    async def leased() -> set[bytes]:
        return set(await plane.redis.zrange(keys.leases(tenant.partition), 0, -1))

    try:
        assert (await plane.ask(helpless, tenant)).status == 200
        before = await leased()
        await gate.close()
        shutil.rmtree(plane.folder / f"spool-{helpless.port}")
        for _ in range(2):
            assert_problem(await plane.ask(helpless, tenant), 503, "metering_unavailable")
        seen, reaped = (raw.decode() for raw in await leased() - before)
        path = f"/v1/runs/{seen}"
        hidden = await plane.get(helpless, path, headers=tenant.headers)
        assert_problem(hidden, 503, "metering_unavailable")
        assert (await plane.log.of(seen)).runs == []
        shown = await plane.get(fast.gateway, path, headers=tenant.headers)
        assert (shown.status, shown.json["status"]) == (200, "completed")
        assert (await plane.log.of(seen)).closing.tokens_out == shown.json["usage"]["tokens_out"] > 0

        await helpless.kill()
        later = now_ms() + 3_600_000
        reaper = Reaper(plane.redis, publisher, PARTITIONS, lambda: later)
        while await reaper.reap(tenant.partition):
            pass
        closing = (await plane.log.of(reaped)).closing
        assert (closing.status, closing.org_id) == ("completed", tenant.org_id)
        assert closing.tokens_out > 0
    finally:
        await publisher.stop()
        await gate.close()
        for service in (helpless, runner):
            await service.kill()


async def test_a_killed_runner_ends_its_runs_and_they_are_accounted_for(plane: Plane, slow: Any) -> None:
    unlucky, waiting = await plane.tenant(), await plane.tenant()
    runner = await plane.runner(slow.provider, RUNNER_REPORT_EVERY_MS="60000")
    gateway = await plane.gateway(runner)
    try:
        asking = asyncio.create_task(plane.ask(gateway, waiting, _LONG))

        async def writes() -> bool:
            runs = await plane.log.runs_of(waiting.instance_id)
            served = [row for run_id in runs for row in await plane.served(slow.provider, run_id)]
            return any(row["sent_tokens"] > 20 for row in served)

        await until(writes, "the run without a stream writes")
        told = []
        async with plane.streaming(gateway, unlucky, _LONG) as response:
            async for event in events(response):
                told.append(event)
                if [e.name for e in told].count("message.delta") == 5:
                    await runner.kill()
        assert told[-1].name == "run.failed"
        streamed = told[-1].data
        shown = "".join(event.data["text"] for event in told if event.name == "message.delta")
        assert shown == streamed["output"]
        answered = await asking
        assert answered.status == 502
        for answer in (streamed, answered.json):
            assert (answer["status"], answer["error"]["code"]) == ("failed", "runner_lost")
            metered = await plane.log.of(answer["run_id"])
            assert [event.status for event in metered.runs] == ["started", "failed"]
            (word,) = metered.tokens
            assert (word.final, word.source) == (False, "partial")
            assert word.output == tokens.count(answer["output"], "gpt-4o-mini") > 0
            usage = answer["usage"]
            assert (usage["tokens_in"], usage["tokens_out"]) == (word.input_uncached, word.output)
            assert word.input_uncached > 0
    finally:
        await gateway.stop()
        await runner.kill()


async def test_a_killed_gateway_leaves_the_usage_to_the_runner(plane: Plane, slow: Any) -> None:
    unlucky = await plane.tenant()
    gateway = await plane.gateway(slow.runner)
    async with plane.streaming(gateway, unlucky, _LONG) as response:
        run_id = response.headers["X-Run-Id"]
        count = 0
        async for event in events(response):
            count += event.name == "message.delta"
            if count == 5:
                break
        await gateway.kill()
        response.close()
    metered = await plane.log.when(
        run_id, lambda run: any(event.final for event in run.tokens), "the runner reports", 2
    )
    (word,) = metered.last_words().values()
    assert (word.final, word.source) == (True, "partial")
    assert word.output > 0
    assert [event.status for event in metered.runs] == ["started"]
    # Its lease stays, for the worker that closes runs of dead gateways.
    assert await plane.redis.zscore(keys.leases(unlucky.partition), run_id) is not None


async def test_a_stopped_gateway_lets_its_runs_end(plane: Plane, slow: Any) -> None:
    lucky = await plane.tenant()
    gateway = await plane.gateway(slow.runner)
    async with plane.streaming(gateway, lucky, "Hello [[fault:length:80]]") as response:
        reading = events(response)
        assert (await anext(reading)).name == "run.started"
        stopping = asyncio.create_task(gateway.stop())
        told = [event async for event in reading]
    await stopping
    assert told[-1].name == "run.completed"
    metered = await plane.log.of(told[-1].data["run_id"])
    assert metered.closing.status == "completed"
    assert metered.closing.tokens_out == 80
