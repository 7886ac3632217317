"""Starts a stack in the shortest safe order, keeps it running, stops it in reverse.

Everything starts at once: Kafka takes longest, and the services import meanwhile and wait for what they need.
Topics, seed and tables follow as soon as their servers answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from clickhouse_connect.driver.exceptions import ClickHouseError

from kit.settings import EmbeddedSettings
from stack import checkpoints, records, seed, state, topics
from stack import layout as layouts
from stack.access import demo_access
from stack.errors import StackError
from stack.process import Child, ChildSpec
from stack.state import Process, State
from streams.warehouse import migrate

_READY_TIMEOUT_S = 90.0
_HOUSEKEEPING_S = 10.0


class Supervisor:
    """One stack on one data folder."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        remembered = state.read(data_dir)
        self._layout = layouts.plan(data_dir, remembered.ports if remembered else {}, demo_access(data_dir))
        self._children: list[Child] = []
        self._state = State(
            supervisor_pid=os.getpid(),
            phase="starting",
            urls=self._layout.urls,
            ports=dict(self._layout.ports),
            demo=self._layout.demo,
        )
        self._external = [
            Process(name=part, state="external") for part in layouts.REPLACED_BY if layouts.is_replaced(part)
        ]

    @property
    def state(self) -> State:
        """The stack as it stands."""
        return self._state

    async def start(self) -> None:
        """Start everything and return when it is ready. Raises `StackError` naming the part that is not."""
        logs = self._data_dir / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self._save()
        servers = self._launch(self._layout.servers())
        services = self._launch([*self._layout.workers(), *self._layout.edge_services()])
        await self._all_ready(servers)
        await asyncio.gather(self._prepare_kafka(), self._migrate())
        await self._all_ready(services)
        self._state.phase = "ready"
        self._save()

    def _launch(self, specs: Sequence[ChildSpec]) -> list[Child]:
        children = [Child(spec, self._data_dir / "logs", self._save) for spec in specs]
        for child in children:
            self._children.append(child)
            child.start()
        return children

    async def _all_ready(self, children: Sequence[Child]) -> None:
        answers = await asyncio.gather(*[child.wait_ready(_READY_TIMEOUT_S) for child in children])
        for child, ready in zip(children, answers, strict=True):
            if not ready:
                raise StackError(
                    f"{child.spec.name} did not become ready; its log "
                    f"({child.log_path}) ends with:\n{child.last_lines()}"
                )

    async def _prepare_kafka(self) -> None:
        created = await topics.create(self._layout.kafka)
        await topics.create_fences(created, self._layout.kafka, self._layout.redis)
        if (marker := self._data_dir / topics.FROM_LOG).exists():
            await topics.fences_from_log(self._layout.kafka, self._layout.redis)
            await records.restore(self._layout.kafka, self._layout.redis)
            marker.unlink()
        issuer = "" if layouts.is_replaced("issuer") else self._layout.issuer_url
        await seed.write(self._layout.demo, self._layout.redis, self._layout.kafka, self._data_dir, issuer)

    async def _migrate(self) -> None:
        try:
            await asyncio.to_thread(migrate.bring_up_to_date, self._layout.clickhouse)
        except (ClickHouseError, migrate.MigrationChanged) as error:
            raise StackError(f"the warehouse could not be migrated: {error}") from error

    async def stop(self) -> None:
        """Stop everything, last started first."""
        self._state.phase = "stopping"
        self._save()
        by_name = {child.spec.name: child for child in self._children}
        servers = [name for name in ("provider", "clickhouse", "valkey", "kafka") if name in by_name]
        others = [child for name, child in by_name.items() if name not in servers]
        # The services first, while what they flush to still answers; then the servers.
        await asyncio.gather(*[child.stop() for child in others])
        await asyncio.gather(*[by_name[name].stop() for name in servers])
        self._save()

    async def tend(self) -> None:
        """Keep the logs bounded and take checkpoints, for ever."""
        every_s = EmbeddedSettings().checkpoint_interval_s
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._bound_logs())
            if every_s and not layouts.is_replaced("valkey"):
                tasks.create_task(checkpoints.keep_taking(self._layout.redis, self._data_dir, every_s))

    async def _bound_logs(self) -> None:
        while True:
            await asyncio.sleep(_HOUSEKEEPING_S)
            for child in self._children:
                child.bound_log()

    def fail(self, error: str) -> None:
        """Write down why the stack did not start."""
        self._state.phase, self._state.error = "failed", error
        self._save()

    def _save(self) -> None:
        self._state.processes = [*self._external, *(child.info for child in self._children)]
        state.write(self._data_dir, self._state)


async def supervise(data_dir: Path, on_ready: asyncio.Event | None = None) -> int:
    """Run a stack until SIGINT or SIGTERM; return the exit status."""
    lock = state.Lock(data_dir)
    lock.acquire()
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    supervisor = Supervisor(data_dir)
    starting = asyncio.create_task(supervisor.start())
    told = asyncio.create_task(stopping.wait())
    tending = asyncio.create_task(supervisor.tend())
    try:
        await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            if on_ready is not None:
                on_ready.set()
            await told
        return 0
    except Exception as error:
        supervisor.fail(str(error) or repr(error))
        raise
    finally:
        for task in (starting, tending, told):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(starting, tending, told, return_exceptions=True)
        failed = supervisor.state.phase == "failed"
        await supervisor.stop()
        if failed:
            supervisor.state.phase = "failed"
            state.write(data_dir, supervisor.state)
