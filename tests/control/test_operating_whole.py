"""What an operator does, on the whole stack: it reaches wallets, workers and history, and comes back."""

from __future__ import annotations

from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from market import TENANT, Market
from test_buying_whole import INCLUDED_MICRO, cost_of
from waiting import eventually

from kit.clock import new_id
from kit.publisher import new_producer
from kit.settings import KafkaSettings
from schemas import topics
from schemas.events import TokenEvent, encode
from schemas.partitioning import partition_of


async def _ask(market: Market, method: str, path: str, body: Any = None) -> Any:
    extra = {"Idempotency-Key": new_id("key")} if body is not None else {}
    status, answer = await market.call(market.operator, method, path, body, **extra)
    assert status < 300, answer
    return answer


async def _bought(market: Market, name: str) -> tuple[dict[str, str], str, str]:
    """Return an owner's headers, the org, and a key of an instance that it bought."""
    owner = await market.org(name)
    placed = await market.order(owner, "dummy")
    assert (await market.call(owner, "POST", f"/orders/{placed['order_id']}:pay"))[0] == 204
    order = await market.provisioned(owner)
    org_id = (await market.call(owner, "GET", "/account"))[1]["org_id"]
    return owner, org_id, await market.welcome(owner, order["order_id"])


async def test_credits_are_given_taken_back_and_a_run_is_voided(market: Market) -> None:
    owner, org_id, key = await _bought(market, "Looked after")
    status, run = await market.run(key)
    assert status == 200

    async def corrected() -> bool:
        terms = {"kind": "void", "run_id": run["run_id"], "reason": "it answered nonsense"}
        status, seen = await market.call(market.operator, "POST", "/corrections:preview", terms)
        return status == 200 and seen["charged_micro"] > 0

    await eventually(corrected, "the worker has the run")
    before = await market.balance(owner)
    terms = {"kind": "void", "run_id": run["run_id"], "reason": "it answered nonsense"}
    sent = await _ask(market, "POST", "/corrections", terms)
    assert sent["expected_micro"] < 0
    await market.settles_at(owner, before - sent["expected_micro"])

    async def in_the_ledger() -> bool:
        listed = (await _ask(market, "GET", f"/corrections?org_id={org_id}"))["corrections"]
        return bool(listed[0]["applied_micro"] == sent["expected_micro"])

    await eventually(in_the_ledger, "the ledger has the adjustment")
    whole = before - sent["expected_micro"]
    given = {"org_id": org_id, "kind": "correction", "amount_micro": 3_000_000, "reason": "for the trouble"}
    grant = await _ask(market, "POST", "/grants", given)
    await market.settles_at(owner, whole + 3_000_000)
    await _ask(market, "POST", f"/grants/{grant['grant_id']}:void", {"reason": "given twice"})
    await market.settles_at(owner, whole)


async def test_a_refused_record_is_found_mended_and_charged(market: Market) -> None:
    owner, org_id, key = await _bought(market, "With a refused record")
    status, run = await market.run(key)
    assert status == 200
    before = INCLUDED_MICRO - cost_of(run)
    await market.settles_at(owner, before)
    kafka = KafkaSettings(bootstrap=market.stack["kafka_bootstrap"])
    instance_id = (await market.call(owner, "GET", "/account/instances"))[1]["instances"][0]["instance_id"]
    late = TokenEvent(
        tenant_id=TENANT,
        org_id=org_id,
        instance_id=instance_id,
        run_id=run["run_id"],
        channel="api",
        price_version="a-book-that-is-not-there",
        started_at_ms=1,
        occurred_at_ms=1,
        call_id="call_late",
        seq=1,
        model="gpt-4o-mini",
    )
    producer: AIOKafkaProducer = new_producer(kafka)
    await producer.start()
    try:
        for value in (encode(late), b"{broken", b"\xff\xfe"):
            place = {"key": org_id.encode(), "partition": partition_of(org_id, kafka.partitions)}
            await producer.send_and_wait(topics.TOKENS.name, value, **place)
    finally:
        await producer.stop()

    found: list[dict[str, Any]] = []

    async def listed() -> bool:
        letters = (await _ask(market, "GET", "/dead_letters?limit=100"))["letters"]
        found[:] = [letter for letter in letters if letter["org_id"] == org_id]
        return len(found) >= 3

    await eventually(listed, "all three are known")
    broken = next(letter for letter in found if letter["size_bytes"] == len(b"{broken"))
    shown = await _ask(market, "GET", f"/dead_letters/{broken['letter_id']}")
    assert (shown["content"], shown["encoding"]) == ("{broken", "utf-8")
    done = await _ask(market, "POST", "/dead_letters:replay", {"letter_ids": [broken["letter_id"]]})
    assert done["replayed"] == [broken["letter_id"]]

    async def refused_again() -> bool:
        letters = (await _ask(market, "GET", "/dead_letters?waiting=true&limit=100"))["letters"]
        same = [one for one in letters if one["org_id"] == org_id and one["size_bytes"] == len(b"{broken")]
        return bool(same) and same[0]["offset"] > broken["offset"]

    await eventually(refused_again, "what is still poison is a dead letter again")
    assert await market.balance(owner) == before


async def test_all_figures_agree_and_workers_are_where_the_log_ends(market: Market) -> None:
    _, org_id, key = await _bought(market, "Compared")
    assert (await market.run(key))[0] == 200

    async def caught_up() -> bool:
        seen = await _ask(market, "GET", "/consumers")
        by_role = {role["role"]: role for role in seen["roles"]}
        metering, warehouse = by_role["metering"], by_role["warehouse"]
        return (
            (metering["lag"], metering["unassigned"], warehouse["lag"], warehouse["unassigned"])
            == (0, 0, 0, 0)
            and metering["members"] == warehouse["members"] == 1
            and any(row["applied_at_ms"] for row in metering["partitions"])
            and bool(seen["history_at_ms"])
        )

    await eventually(caught_up, "metering and warehouse have caught up")
    started = await _ask(market, "POST", "/reconciliations", {"org_id": org_id})
    report: dict[str, Any] = {}

    async def answered() -> bool:
        report.update(await _ask(market, "GET", f"/reconciliations/{started['request_id']}"))
        return bool(report["verdict"] != "running")

    await eventually(answered, "it was reconciled")
    assert report["verdict"] == "exact", msgspec.json.encode(report).decode()
    assert (report["orgs"], report["runs"], report["completeness_ppm"]) == (1, 1, 1_000_000)
    charged = next(figure for figure in report["figures"] if figure["name"] == "charged")
    assert charged["recomputed"] == charged["redis"] == charged["ledger"] == charged["clickhouse"] > 0
