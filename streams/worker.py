"""What the Faust workers share: the app's settings, its life cycle, what happens to assigned partitions."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from hashlib import sha256
from typing import Any, Protocol

import faust
import mode.loop
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from faust.types import TP

from kit import kafka_access, logs, ops_server, tracing
from kit.settings import KafkaSettings, StackSettings, WorkerSettings, load
from schemas.topics import Topic
from streams.credentials import credentials
from streams.lanes import EXIT_UNSAFE, Lanes
from streams.transport import BatchConsumer, BatchTransport
from streams.watchdog import Watchdog

log = logging.getLogger(__name__)

#: Batches that may wait between the fetcher and the lanes.
_BUFFERED_BATCHES = 8
_TOPICS_EVERY_S = 0.25


class Role(Protocol):
    """What one kind of worker does with its partitions; `run` does the rest."""

    name: str
    topics: tuple[Topic, ...]

    async def start(self, reader: Reader) -> None:
        """Connect to the stores."""

    async def stop(self) -> None:
        """Close what `start` opened."""

    async def positions(self, assigned: Iterable[TP]) -> Mapping[TP, int]:
        """Return where to read each assigned partition from. Raising stops the worker."""

    def lanes(self) -> Lanes[Any]:
        """Return the lanes that apply batches exactly once. A handler that raises stops the worker."""

    def forget(self) -> None:
        """The partitions were taken away; those that stay are assigned anew."""

    def fences(self) -> Mapping[int, Mapping[str, int]]:
        """Return how far each owned partition's topics are applied."""

    def waits_for(self) -> str:
        """Return the store that is away and keeps the worker from going on; `""` when nothing does."""

    def steps(self) -> int:
        """Return a number that grows with what is done between two moves of a fence."""


class Reader:
    """What a role may ask of the Kafka reader."""

    def __init__(self, app: faust.App) -> None:
        self._app = app

    @property
    def consumer(self) -> BatchConsumer:
        """The running consumer."""
        return self._app.consumer

    async def seek(self, topic: str, partition: int, offset: int) -> None:
        """Continue reading at `offset`."""
        log.warning("seeking", extra={"topic": topic, "partition": partition, "offset": offset})
        await self.consumer.seek_wait({TP(topic, partition): offset})

    async def log_bounds(self, assigned: Iterable[TP]) -> Mapping[TP, tuple[int, int]]:
        """Return each partition's first offset still kept, and the one the next record will get."""
        tps = list(assigned)
        first = await self.consumer.earliest_offsets(*tps)
        end = await self.consumer.highwaters(*tps)
        return {tp: (first[tp], end[tp]) for tp in tps}


def member_id(role: str, instance: str, read: Iterable[Topic]) -> str:
    """Return the name of a static member of a role's group.

    Kafka gives a static member that is back what it had, whatever it subscribes to now (KIP-345). One that
    reads other topics than before it was upgraded must be another member, or it would never be given them.
    """
    names = ",".join(sorted(topic.name for topic in read))
    return f"{role}-{instance}-{sha256(names.encode()).hexdigest()[:6]}"


class WorkerApp(faust.App):
    """A Faust app that runs one role, consumes by batch and never commits on its own."""

    def __init__(self, role: Role, kafka: KafkaSettings, worker: WorkerSettings) -> None:
        session_s = worker.session_timeout_ms / 1000
        super().__init__(
            f"runmeter-{role.name}",
            broker=";".join(f"kafka://{host}" for host in kafka.bootstrap.split(",")),
            broker_credentials=credentials(kafka),
            store="memory://",
            datadir=str(load(StackSettings).data_dir / "faust"),
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            # By this name operators are shown who has which partition.
            broker_client_id=f"{role.name}-{worker.instance}",
            broker_session_timeout=session_s,
            broker_heartbeat_interval=session_s / 6,
            broker_rebalance_timeout=max(15.0, session_s * 2),
            broker_request_timeout=max(30.0, session_s * 2),
            broker_max_poll_records=worker.max_batch_records,
            consumer_max_fetch_size=4 * 1024 * 1024,
            # A restarted worker is the same member: it gets its partitions back without a rebalance.
            consumer_group_instance_id=member_id(role.name, worker.instance, role.topics),
            stream_buffer_maxsize=_BUFFERED_BATCHES,
            # What is in a lane is fenced by its sink, so nothing need be waited for.
            stream_wait_empty=False,
            worker_redirect_stdouts=False,
        )
        self._role = role
        self._kafka = kafka
        self._reader = Reader(self)
        self._settings = worker
        self._lanes = role.lanes()
        self._watchdog = Watchdog(role, kafka, worker)
        self._ops: Any = None
        self.transport = BatchTransport(self.conf.broker, self, loop=None, seek_targets=self._positions)
        self.on_partitions_revoked.connect(self._forget)
        source = self.topic(
            *[topic.name for topic in role.topics],
            key_type=bytes,
            value_type=bytes,
            value_serializer="raw",
            acks=False,
        )
        self.agent(source, name=role.name)(self._deliver)

    async def on_start(self) -> None:
        await super().on_start()
        async with _unsafe_on_error("the worker could not start"):
            await _topics_exist(self._kafka, {topic.name for topic in self._role.topics})
            await self._role.start(self._reader)
            if self._settings.metrics_port:
                self._ops = await ops_server.serve(
                    self._settings.metrics_port, self._watchdog.readiness, self._settings.metrics_host
                )
            await self._watchdog.start()

    async def on_stop(self) -> None:
        await super().on_stop()
        await self._watchdog.stop()
        await self._lanes.close()
        await self._role.stop()
        if self._ops is not None:
            await self._ops.cleanup()

    async def _deliver(self, stream: Any) -> None:
        async for batch in stream:
            await self._lanes.submit(batch)

    async def _positions(self, assigned: Iterable[TP]) -> Mapping[TP, int]:
        async with _unsafe_on_error("where to read from is not known"):
            return await self._role.positions(assigned)

    async def _forget(self, _app: faust.App, _revoked: set[TP], **_kwargs: Any) -> None:
        await self._lanes.close()
        self._role.forget()


def run(role: Role, settings: WorkerSettings | None = None) -> None:
    """Run one worker until it is told to stop. The process exits non-zero when it stopped itself.

    `settings` replaces those of the environment for a role that is to be watched otherwise.
    """
    stack, kafka, settings = load(StackSettings), load(KafkaSettings), settings or load(WorkerSettings)
    logs.configure(role.name, stack.log_level)
    tracing.configure(role.name)
    # Batches are large and hold no cycles: looking for those costs a third of the worker by default.
    gc.set_threshold(200_000, 20, 100)
    mode.loop.use("uvloop")
    app = WorkerApp(role, kafka, settings)
    faust.Worker(app, override_logging=False, quiet=True).execute_from_commandline()


async def _topics_exist(kafka: KafkaSettings, wanted: set[str]) -> None:
    """Wait for Kafka and for the topics: whoever creates them may start after the workers."""
    said = False
    while True:
        admin = AIOKafkaAdminClient(**kafka_access.options(kafka))
        try:
            await admin.start()
            if wanted <= set(await admin.list_topics()):
                return
        except (KafkaError, OSError) as error:
            if not said:
                log.info("waiting for Kafka", extra={"error": repr(error)})
            said = True
        finally:
            await admin.close()
        await asyncio.sleep(_TOPICS_EVERY_S)


@contextlib.asynccontextmanager
async def _unsafe_on_error(what: str) -> AsyncIterator[None]:
    """Turn a failure into the end of the process: Faust would log it and carry on without an answer."""
    try:
        yield
    except asyncio.CancelledError:
        raise
    except BaseException:
        log.critical("%s; the worker stops", what, exc_info=True)
        os._exit(EXIT_UNSAFE)
