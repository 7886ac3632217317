"""Waits for a run on behalf of a client that may leave before it ends."""

from __future__ import annotations

import asyncio

from fastapi import Request

from gateway.answers import Answer
from gateway.errors import MeteringUnavailable
from gateway.execution import Run
from kit.spool import SpoolFull


async def answer_of(request: Request, run: Run) -> Answer:
    """Return the run's answer; a client that goes away before cancels the run.

    Raises `MeteringUnavailable`.
    """
    answering = asyncio.ensure_future(run.answer())
    leaving = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            run.cancel("client_disconnected")
        return await answering
    except SpoolFull as error:
        raise MeteringUnavailable(run_id=run.lease.run_id, headers={"Retry-After": "5"}) from error
    finally:
        leaving.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
