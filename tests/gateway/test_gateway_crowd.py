"""A hundred runs at once on a wallet that pays for ten: nothing is overspent, hardly anything left over."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gateway_rig import Plane, Tenant, micro

from schemas import keys

_ANSWER = 60
_TEXT = f"Tell me about your plans [[fault:length:{_ANSWER}]]"


async def _never_overdrawn(plane: Plane, tenant: Tenant) -> None:
    """Watch the wallet for ever."""
    while True:
        wallet = await plane.redis.hgetall(keys.wallet(tenant.partition, tenant.org_id))
        assert int(wallet[b"held"]) <= int(wallet[b"balance"])
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("tools", [(), ("calculator", "current_time")], ids=["plain", "tools"])
@pytest.mark.parametrize("too_large", [1, 10])
async def test_a_wallet_for_ten_serves_ten_of_a_hundred(
    plane: Plane, fast: Any, too_large: int, tools: tuple[str, ...]
) -> None:
    crowd = await plane.tenant(tools=tools)
    warm = await asyncio.gather(*(plane.ask(fast.gateway, crowd, _TEXT) for _ in range(20)))
    (cost,) = {micro(answer.json["usage"]["credits"]) for answer in warm}
    before = set(await plane.held(crowd))
    await plane.leave(crowd, 10 * cost)
    watching = asyncio.create_task(_never_overdrawn(plane, crowd))

    answers = await asyncio.gather(
        *(plane.ask(fast.gateway, crowd, _TEXT, max_tokens=_ANSWER * too_large) for _ in range(100))
    )

    assert not watching.done()
    watching.cancel()
    served = {answer.json["run_id"]: answer.json["usage"] for answer in answers if answer.status == 200}
    assert {answer.status for answer in answers} == {200, 402}
    assert len(served) >= 9
    assert sum(usage["tokens_out"] == _ANSWER for usage in served.values()) >= 9
    held = {run: amount for run, amount in (await plane.held(crowd)).items() if run not in before}
    assert set(held) == set(served)
    assert sum(held.values()) <= 10 * cost
    for run_id, usage in served.items():
        assert micro(usage["credits"]) <= held[run_id]


async def test_a_crowd_nobody_knows_yet_overspends_nothing_either(plane: Plane, fast: Any) -> None:
    probe = await plane.tenant(tools=())
    cost = micro((await plane.ask(fast.gateway, probe, _TEXT)).json["usage"]["credits"])
    crowd = await plane.tenant(tools=(), credits_micro=10 * cost)

    answers = await asyncio.gather(
        *(plane.ask(fast.gateway, crowd, _TEXT, max_tokens=_ANSWER) for _ in range(100))
    )

    assert sum(answer.status == 200 for answer in answers) >= 9
    held = await plane.held(crowd)
    assert sum(held.values()) <= 10 * cost
    spent = sum(micro(answer.json["usage"]["credits"]) for answer in answers if answer.status == 200)
    assert spent <= sum(held.values())
