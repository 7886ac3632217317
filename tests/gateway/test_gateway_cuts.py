"""Wallets that run out while runs are in flight: these end at once, cleanly, charged for what they used."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from gateway_rig import Event, Plane, Tenant, events
from waiting import PATIENCE_S

from schemas import keys
from schemas.directory import Limits, LimitState

_LONG = "Tell me everything [[fault:length:800]]"  # ten seconds of the slow model
_SHORT = "Tell me something [[fault:length:120]]"


async def _push(plane: Plane, tenant: Tenant, version: int, balance: int, available: int) -> None:
    state = LimitState(
        org_id=tenant.org_id, version=version, balance_micro=balance, available_micro=available
    )
    await plane.redis.publish(keys.LIMIT_CHANNEL, msgspec.json.encode(state))


async def _pushed_while_streaming(
    plane: Plane, gateway: Any, tenant: Tenant, text: str, *pushes: tuple[int, int, int]
) -> list[Event]:
    """Stream a run, pushing states after its third piece; return its events."""
    told: list[Event] = []
    async with plane.streaming(gateway, tenant, text) as response:
        async for event in events(response):
            told.append(event)
            if event.name == "message.delta" and sum(e.name == event.name for e in told) == 3:
                for push in pushes:
                    await _push(plane, tenant, *push)
    return told


async def test_an_empty_wallet_ends_a_stream(plane: Plane, slow: Any) -> None:
    spent = await plane.tenant()
    told = await _pushed_while_streaming(plane, slow.gateway, spent, _LONG, (1, 0, -5))
    assert told[-1].name == "run.limit_exceeded"
    answer = told[-1].data
    assert (answer["status"], answer["error"]["code"]) == ("limit_exceeded", "credits_exhausted")
    shown = "".join(event.data["text"] for event in told if event.name == "message.delta")
    assert answer["output"].startswith(shown)
    metered = await plane.log.of(answer["run_id"])
    assert [event.status for event in metered.runs] == ["started", "limit_exceeded"]
    assert metered.closing.error_code == "credits_exhausted"
    assert metered.closing.credits_micro > 0
    (word,) = metered.last_words().values()
    assert (word.final, word.source) == (True, "partial")
    (served,) = await plane.served(slow.provider, answer["run_id"])
    assert not served["finished"]
    assert word.output <= served["completion_tokens"] + 4 < 800


async def test_an_unstreamed_run_is_told_with_its_partial_answer(plane: Plane, slow: Any) -> None:
    spent = await plane.tenant()
    asking = asyncio.create_task(plane.ask(slow.gateway, spent, _LONG))
    metered = None
    while not metered or not metered.tokens:
        runs = list((await plane.log.runs_of(spent.instance_id)).values())
        metered = runs[0] if runs else None
        await asyncio.sleep(0.02)
    await _push(plane, spent, 1, 0, 0)
    answered = await asyncio.wait_for(asking, PATIENCE_S)
    assert answered.status == 402
    assert (answered.json["status"], answered.json["error"]["code"]) == (
        "limit_exceeded",
        "credits_exhausted",
    )
    assert answered.json["output"]
    assert answered.json["usage"]["tokens_out"] > 0


async def test_a_run_within_its_hold_goes_on(plane: Plane, slow: Any) -> None:
    holder = await plane.tenant()
    told = await _pushed_while_streaming(plane, slow.gateway, holder, _SHORT, (1, 10, -5))
    assert told[-1].name == "run.completed"
    assert told[-1].data["usage"]["tokens_out"] == 120


async def test_an_older_state_changes_nothing(plane: Plane, slow: Any) -> None:
    holder = await plane.tenant()
    pushes = ((5, 10, 5), (4, 0, 0), (5, 0, 0))
    told = await _pushed_while_streaming(plane, slow.gateway, holder, _SHORT, *pushes)
    assert told[-1].name == "run.completed"


async def test_other_orgs_and_garbage_change_nothing(plane: Plane, slow: Any) -> None:
    holder, other = await plane.tenant(), await plane.tenant()
    await plane.redis.publish(keys.LIMIT_CHANNEL, b"{garbage")
    await _push(plane, other, 1, 0, 0)
    told = await _pushed_while_streaming(plane, slow.gateway, holder, _SHORT)
    assert told[-1].name == "run.completed"


async def test_a_soft_wallet_is_cut_at_its_ceiling(plane: Plane, slow: Any) -> None:
    soft = await plane.tenant(limits=Limits(soft=True, overage_micro=100))
    told = await _pushed_while_streaming(plane, slow.gateway, soft, _SHORT, (1, -99, -99))
    assert told[-1].name == "run.completed"
    told = await _pushed_while_streaming(plane, slow.gateway, soft, _LONG, (2, -100, -100))
    assert told[-1].name == "run.limit_exceeded"
