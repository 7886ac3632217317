"""The control plane of one process: its database, what it seals with, and its background tasks.

It starts while the database, Redis or Kafka is away: until the schema is there, requests are answered with
503, and what the outbox holds waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Request
from redis.asyncio import Redis
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.control.errors import database_away
from console_api.control.outbox import service as outbox
from console_api.control.outbox.kafka_sink import KafkaSink
from console_api.control.outbox.relay import OUTAGES, Relay
from console_api.control.projections.keeper import Keeper
from console_api.control.projections.record_log import RecordLog
from console_api.control.projections.republisher import Republisher
from console_api.control.projections.service import Projector
from console_api.control.vault.resealer import Resealer
from console_api.control.vault.seal import Seal, load_seal
from console_api.database.engine import Database, connect, is_outage
from console_api.database.migrate import migrate
from console_api.keys.last_used import LastUsedCollector
from console_api.pace import Pace
from kit.clock import Clock
from kit.projections import Writer
from kit.settings import (
    ControlSettings,
    DatabaseSettings,
    KafkaSettings,
    SecretsSettings,
    StackSettings,
    load,
)
from kit.tasks import ended

log = logging.getLogger(__name__)

_RETRY_S = 1.0
#: How long a start waits for the database; it goes on without it.
_PATIENCE_S = 10.0


@dataclass(frozen=True)
class ControlConfig:
    """The settings of the control plane."""

    database: DatabaseSettings
    secrets: SecretsSettings
    control: ControlSettings
    data_dir: Path

    @classmethod
    def load(cls) -> ControlConfig:
        return cls(
            load(DatabaseSettings),
            load(SecretsSettings),
            load(ControlSettings),
            load(StackSettings).data_dir,
        )


@dataclass(frozen=True)
class ControlPlane:
    """What the features of the control plane work with."""

    database: Database
    seal: Seal
    settings: ControlSettings
    clock: Clock
    introspections: Pace
    wrong_introspections: Pace
    #: Tells gateways of a change before it is answered; without it the outbox does, a moment later.
    projector: Projector | None = None
    #: Set once the schema is the newest.
    ready: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def running(
    config: ControlConfig,
    redis: Redis,
    kafka: KafkaSettings,
    clock: Clock,
    older_seals: Callable[[int], None] = lambda left: None,
) -> AsyncIterator[ControlPlane]:
    """Run the control plane until the block ends; `older_seals` hears how many secrets need older keys."""
    database = connect(config.database, config.data_dir)
    projector = Projector(database, Writer(redis), clock)
    most = config.control.introspections_per_minute
    plane = ControlPlane(
        database,
        load_seal(config.secrets, config.data_dir),
        config.control,
        clock,
        Pace(most, clock),
        Pace(most // 10, clock),
        projector,
    )
    work = [asyncio.create_task(task) for task in _work(plane, projector, redis, kafka, older_seals)]
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                await plane.ready.wait()
        yield plane
    finally:
        await ended(*work)
        await database.close()


def _work(
    plane: ControlPlane,
    projector: Projector,
    redis: Redis,
    kafka: KafkaSettings,
    older_seals: Callable[[int], None],
) -> list[Coroutine[Any, Any, None]]:
    """Return what is to run, side by side, until the control plane ends."""
    database, settings, clock = plane.database, plane.settings, plane.clock
    relays = (
        Relay(database, "redis", projector, settings, clock),
        Relay(database, "kafka", KafkaSink(kafka), settings, clock),
        Relay(database, "records", Projector(database, RecordLog(kafka), clock), settings, clock),
    )
    republisher = Republisher(database, clock)
    keeper = Keeper(projector, redis, settings.project_every_s * 1000, clock)
    collector = LastUsedCollector(database, redis)
    resealer = Resealer(database, plane.seal, clock, older_seals)
    return [
        _prepare(plane),
        *(_again(plane, relay.run) for relay in relays),
        _again(plane, keeper.run),
        _again(plane, republisher.run),
        _again(plane, resealer.run),
        _again(plane, lambda: collector.run(settings.collect_last_used_every_s)),
    ]


async def _again(plane: ControlPlane, run: Callable[[], Awaitable[None]]) -> None:
    """Run a task that never ends, again if a fault of ours ended it."""
    await plane.ready.wait()
    while True:
        try:
            await run()
        except Exception:
            log.exception("a task of the control plane failed")
        await asyncio.sleep(_RETRY_S)


async def _prepare(plane: ControlPlane) -> None:
    while not plane.ready.is_set():
        try:
            await migrate(plane.database)
            plane.ready.set()
        except OUTAGES as error:
            log.warning("the database is away", extra={"error": repr(error)})
            await asyncio.sleep(_RETRY_S)


def _plane(request: Request) -> ControlPlane:
    plane = request.app.state.control
    assert isinstance(plane, ControlPlane)
    _check_ready(plane)
    return plane


def _check_ready(plane: ControlPlane) -> None:
    if not plane.ready.is_set():
        raise database_away()


@contextlib.contextmanager
def database_told(plane: ControlPlane) -> Iterator[None]:
    """Answer 503 if the database is away, for code that opens its transactions itself."""
    _check_ready(plane)
    with _outages_told():
        yield


ControlDep = Annotated[ControlPlane, Depends(_plane)]


@asynccontextmanager
async def reading(plane: ControlPlane) -> AsyncIterator[AsyncSession]:
    """One transaction that changes nothing, for what cannot keep one open as long as its request."""
    with _outages_told():
        async with plane.database.reading() as session:
            yield session


@asynccontextmanager
async def writing(plane: ControlPlane) -> AsyncIterator[AsyncSession]:
    """One transaction, for what cannot keep one open as long as its request."""
    with _outages_told():
        async with plane.database.writing() as session:
            yield session
    if plane.projector is not None:
        await plane.projector.at_once(outbox.named(session))


async def _reading(plane: ControlDep) -> AsyncIterator[AsyncSession]:
    async with reading(plane) as session:
        yield session


async def _writing(plane: ControlDep) -> AsyncIterator[AsyncSession]:
    async with writing(plane) as session:
        yield session


@contextlib.contextmanager
def _outages_told() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, PoolTimeout, OSError) as error:
        if not is_outage(error):
            raise
        log.warning("the database is away", extra={"error": repr(error)})
        raise database_away() from error


# Of the function's scope: committed before the answer is sent, so that what was answered is true.
#: The request's transaction, if it changes nothing.
ReadDep = Annotated[AsyncSession, Depends(_reading, scope="function")]
#: The request's transaction.
WriteDep = Annotated[AsyncSession, Depends(_writing, scope="function")]
