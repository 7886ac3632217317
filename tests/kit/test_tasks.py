from __future__ import annotations

import asyncio

from kit.tasks import ended


async def deaf(times: int) -> None:
    """Loses so many cancellations, as a loop does whose driver turns them into errors of its own."""
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if not times:
                raise
            times -= 1


async def test_a_task_that_loses_cancellations_is_ended_all_the_same() -> None:
    tasks = [asyncio.create_task(deaf(times)) for times in (0, 1, 2)]
    await asyncio.sleep(0)

    await ended(*tasks)

    assert all(task.cancelled() for task in tasks)


async def test_what_has_ended_already_is_left_alone() -> None:
    async def fails() -> None:
        raise ValueError("before")

    failed, finished = asyncio.create_task(fails()), asyncio.create_task(asyncio.sleep(0, "done"))
    await asyncio.wait([failed, finished])

    await ended(failed, finished)

    assert finished.result() == "done"
