"""Lanes: order within, back-pressure, and an end that leaves nobody waiting."""

from __future__ import annotations

import asyncio

from waiting import PATIENCE_S

from streams.batches import PartitionBatch
from streams.lanes import Lanes


def batch(partition: int, first: int) -> PartitionBatch:
    return PartitionBatch("usage.runs", partition, first, [])


async def test_batches_of_a_lane_are_handled_in_order_and_lanes_side_by_side() -> None:
    handled: list[tuple[int, int]] = []
    released = asyncio.Event()

    async def handle(lane: int, batches: list[PartitionBatch]) -> None:
        if lane == 0:
            await released.wait()
        handled.extend((lane, one.position) for one in batches)

    lanes = Lanes(lambda one: one.partition, handle)
    for first in range(3):
        await lanes.submit(batch(0, first))
        await lanes.submit(batch(1, first))
    while len(handled) < 3:  # noqa: ASYNC110 - the lanes are tasks of their own
        await asyncio.sleep(0)
    assert handled == [(1, 0), (1, 1), (1, 2)]
    released.set()
    while len(handled) < 6:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert [first for lane, first in handled if lane == 0] == [0, 1, 2]
    await lanes.close()


async def test_closing_lanes_lets_everyone_go_who_waits_for_room() -> None:
    never = asyncio.Event()

    async def handle(_: int, __: list[PartitionBatch]) -> None:
        await never.wait()

    lanes = Lanes(lambda one: one.partition, handle, queued_batches=2)
    # One is being handled, two are queued, three agents wait for room.
    for first in range(3):
        await lanes.submit(batch(0, first))
        await asyncio.sleep(0)
    waiting = [asyncio.create_task(lanes.submit(batch(0, first))) for first in range(3, 6)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)

    await lanes.close()

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*waiting)
