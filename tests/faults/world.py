"""One stack under load, with hands on each of its processes.

The supervisor's processes are found by `runmeter`'s own state and killed by id. Valkey is the harness's own
child, behind a proxy where a fault needs one, so that its files can be changed while it is down.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaProducer
from containers import environment, rewritten
from kafka_cluster import Brokers
from oracle import Coordinate, Told
from postgres_server import Postgres
from proxy import Proxy
from tenants import add_org
from witnesses import Witnesses

from schemas.partitioning import partition_of
from stack import ports, servers, state
from stack.process import Child
from stack.seed import DemoAccess, DemoInstance
from stack.state import State
from stack.traffic import Traffic

ROOT = Path(__file__).resolve().parents[2]
PARTITIONS = 8
_CREDITS = 100_000 * 1_000_000
_ORGS = 3
_POLL_S = 0.02


class TookTooLong(AssertionError):
    """Something that had to happen did not, within its bound."""


async def eventually(check: Callable[[], Awaitable[bool]], what: str, seconds: float) -> float:
    """Wait until a condition holds; return how long it took. What a store that is away raises is a no."""
    began = time.monotonic()
    while True:
        with contextlib.suppress(Exception):
            if await check():
                return time.monotonic() - began
        if time.monotonic() - began > seconds:
            raise TookTooLong(f"not within {seconds:.0f} s: {what}")
        await asyncio.sleep(_POLL_S)


@dataclass
class Load:
    """Clients that send runs until told to stop."""

    traffic: Traffic
    clients: int
    done: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.task = asyncio.create_task(self.traffic.run(None, self.done.is_set))

    @property
    def answered(self) -> int:
        return len(self.traffic.tally.sent)

    async def reach(self, runs: int, seconds: float = 120) -> None:
        """Wait until so many runs were answered."""

        async def reached() -> bool:
            return self.answered >= runs

        await eventually(reached, f"{runs} answered runs (there are {self.answered})", seconds)

    async def finish(self, seconds: float = 120) -> None:
        """Send no more, and wait for the answers that are due."""
        self.done.set()
        if self.task is not None:
            await asyncio.wait_for(self.task, seconds)

    def told(self) -> dict[str, Told]:
        return {
            run_id: Told(
                run_id,
                sent.status,
                sent.error_code,
                *(int(sent.usage[name]) for name in ("tokens_in", "tokens_out", "tool_calls", "charged")),
            )
            for run_id, sent in self.traffic.tally.sent.items()
        }


class World:
    """A running stack. Made by `world`."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.folder = folder
        self.data = folder / "stack"
        self.env = environment(self.data) | {
            "RUNMETER_EMBEDDED_PROVIDER_TIME_SCALE": "0.3",
            # Known, so that a gateway that is started by hand is heard, too.
            "RUNMETER_RUNNER_SERVICE_TOKENS": secrets.token_urlsafe(32),
            **env,
        }
        self.told: dict[str, Told] = {}
        self.planted: set[Coordinate] = set()
        self.demo: DemoAccess
        self.valkey_port = ports.choose({"valkey": 0}, {})["valkey"]
        self.proxy = Proxy(self.valkey_port)
        self.instances: list[DemoInstance] = []
        self.load: Load
        #: The partitions that the load's wallets live in.
        self.loaded: set[int] = set()
        self.extra: list[asyncio.subprocess.Process] = []
        self.postgres: Postgres | None = None
        self.brokers: Brokers | None = None
        self._mounted: Path | None = None
        #: Keep the folder: something in it tells what went wrong.
        self.keep = False

    async def up(
        self, *, proxied: bool, sql: bool = False, tiny_disk: bool = False, three_brokers: bool = False
    ) -> None:
        """Start everything; `sql`: on a PostgreSQL of its own; `tiny_disk`: spools on one of 1 MiB;
        `three_brokers`: Kafka as production has it."""
        (self.folder / "logs").mkdir()
        if tiny_disk:
            spools = self.data / "spool"
            spools.mkdir(parents=True)
            await _command("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(spools))
            self._mounted = spools
        if sql:
            self.postgres = Postgres()
            await asyncio.to_thread(self.postgres.start)
            self.env["RUNMETER_DATABASE_URL"] = self.postgres.url
        if three_brokers:
            self.brokers = Brokers(self.folder)
            await self.brokers.start()
            self.env |= self.brokers.environment()
        self._start_valkey()
        if not await self.valkey.wait_ready(30):
            raise TookTooLong("Valkey did not start")
        await self.proxy.start()
        direct = f"redis://127.0.0.1:{self.valkey_port}/0"
        self.redis_url = f"redis://127.0.0.1:{self.proxy.port}/0" if proxied else direct
        self.env["RUNMETER_REDIS_URL"] = self.redis_url
        status, said = await self.runmeter("up", "--detach", "--json")
        if status:
            raise TookTooLong(f"`runmeter up` ended with {status}: {said[-1_500:]}")
        shown = self.state
        if shown.demo is None:
            raise TookTooLong("the stack has no demo tenant")
        self.demo, self.urls = shown.demo, shown.urls
        self.see = Witnesses(shown.urls.kafka_bootstrap, direct, shown.urls.clickhouse_url)
        self.instances = list(self.demo.instances)
        self.loaded = {partition_of(self.demo.org_id, PARTITIONS)}
        for _ in range(_ORGS):
            org_id, instance = await self.add_org(_CREDITS)
            self.instances.append(instance)
            self.loaded.add(partition_of(org_id, PARTITIONS))

    async def add_org(
        self, credits_micro: int, tools: tuple[str, ...] = ("calculator", "current_time")
    ) -> tuple[str, DemoInstance]:
        """Add an org with one instance, and wait for its credits."""
        async with self.producer() as producer:
            org_id, instance = await add_org(
                self.see.redis,
                producer,
                self.demo.tenant_id,
                credits_micro,
                partitions=PARTITIONS,
                tools=tools,
            )

        async def granted() -> bool:
            names = [name async for name in self.see.redis.scan_iter(f"*:wallet:{org_id}")]
            return bool(names) and int(await self.see.redis.hget(names[0], "balance") or 0) == credits_micro

        await eventually(granted, "a grant reaches its wallet", 30)
        return org_id, instance

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[AIOKafkaProducer]:
        made = AIOKafkaProducer(
            bootstrap_servers=self.urls.kafka_bootstrap, acks="all", max_request_size=4 * 1024 * 1024
        )
        await made.start()
        try:
            yield made
        finally:
            await made.stop()

    async def down(self) -> None:
        """Stop everything this world started."""
        for process in self.extra:
            await end(process)
        for part in self.state.processes if state.path(self.data).exists() else []:
            if part.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(part.pid, signal.SIGCONT)
        if hasattr(self, "see"):
            await self.see.close()
        await self.runmeter("down")
        await self.proxy.stop()
        await self.valkey.stop()
        if self.brokers is not None:
            await self.brokers.stop()
        if self.postgres is not None:
            await asyncio.to_thread(self.postgres.close)
        if self._mounted is not None:
            await _command("umount", str(self._mounted))

    async def runmeter(self, *arguments: str) -> tuple[int, str]:
        """Run a `runmeter` command; return its status and what it said."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "stack.cli", *arguments),
            cwd=ROOT,
            env=self.env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), 200)
        return process.returncode or 0, said.decode(errors="replace")

    # --- load ----------------------------------------------------------------------------------------------

    def start_load(self, seed: int, clients: int, gateway_url: str = "") -> Load:
        """Send runs for all instances from now on."""
        spread = msgspec.structs.replace(self.demo, instances=tuple(self.instances))
        self.load = Load(Traffic(gateway_url or self.urls.gateway_url, spread, seed, clients), clients)
        self.load.start()
        return self.load

    # --- processes -----------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        found = state.read(self.data)
        if found is None:
            raise TookTooLong("the stack's state cannot be read")
        return found

    def pid(self, part: str) -> int:
        """Return a part's process id; 0 while it has none."""
        if part == "valkey":
            return self.valkey.info.pid
        return next(p.pid for p in self.state.processes if p.name == part)

    def signal(self, part: str, number: int) -> int:
        """Send a signal to a part and return the process id; 0 if it was not there."""
        pid = self.pid(part)
        if pid:
            os.kill(pid, number)
        return pid

    def kill(self, part: str) -> int:
        return self.signal(part, signal.SIGKILL)

    async def is_back(self, part: str, other_than: int, seconds: float = 60) -> None:
        """Wait until the supervisor has started a part again."""

        async def back() -> bool:
            return self.pid(part) not in (0, other_than)

        await eventually(back, f"{part} is started again", seconds)

    async def keep_dead(self, part: str, seconds: float) -> None:
        """Kill a part as often as it is started again, for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(ProcessLookupError):
                self.kill(part)
            await asyncio.sleep(0.05)

    async def worker(
        self, module: str, instance: str, env: Mapping[str, str] | None = None
    ) -> asyncio.subprocess.Process:
        """Start a process of the product by hand, beside the supervisor's."""
        told = {
            "RUNMETER_KAFKA_BOOTSTRAP": self.urls.kafka_bootstrap,
            "RUNMETER_REDIS_URL": self.redis_url,
            "RUNMETER_CLICKHOUSE_URL": self.urls.clickhouse_url,
            "RUNMETER_WORKER_INSTANCE": instance,
        }
        with (self.folder / "logs" / f"{module}-{instance}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", module),
                cwd=ROOT,
                env={**self.env, **told, **(env or {})},
                stdout=log,
                stderr=log,
            )
        self.extra.append(process)
        return process

    # --- Valkey's files ------------------------------------------------------------------------------------

    def _start_valkey(self) -> None:
        spec = servers.valkey(self.folder / "valkey", self.valkey_port)
        self.valkey = Child(spec, self.folder / "logs", lambda: None)
        self.valkey.start()

    @property
    def _append_only(self) -> Path:
        return self.folder / "valkey" / "appendonlydir"

    async def copy_valkey(self, name: str) -> Path:
        """Copy Valkey's files as they stand, under a compacted append-only file."""
        await self.see.redis.execute_command("BGREWRITEAOF")
        await eventually(lambda: rewritten(self.see.redis), "the append-only file is rewritten", 30)
        copy = self.folder / name
        await asyncio.to_thread(shutil.copytree, self._append_only, copy, dirs_exist_ok=True)
        return copy

    async def restart_valkey(self, files: Path | None) -> None:
        """Stop Valkey and start it on other files; `None`: on none at all."""
        await self.valkey.stop()
        await asyncio.to_thread(shutil.rmtree, self._append_only)
        if files is not None:
            await asyncio.to_thread(shutil.copytree, files, self._append_only)
        self._start_valkey()
        if not await self.valkey.wait_ready(30):
            raise TookTooLong("Valkey did not start again")

    def log_of(self, part: str) -> str:
        """Return what a supervised part logged."""
        return (self.data / "logs" / f"{part}.log").read_text(errors="replace")


async def _command(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(*arguments)
    if await process.wait():
        raise OSError(f"{arguments[0]} ended with {process.returncode}")


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill a process that `worker` started, even a stopped one."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGCONT)
        process.kill()
    await process.wait()


@asynccontextmanager
async def world(
    env: Mapping[str, str] | None = None,
    *,
    proxied: bool = False,
    sql: bool = False,
    tiny_disk: bool = False,
    three_brokers: bool = False,
) -> AsyncIterator[World]:
    """Run a stack in a folder of its own; the folder goes with it unless the block fails."""
    folder = Path(tempfile.mkdtemp(prefix="runmeter-faults-"))
    made = World(folder, env or {})
    try:
        try:
            await made.up(proxied=proxied, sql=sql, tiny_disk=tiny_disk, three_brokers=three_brokers)
            yield made
        finally:
            await made.down()
    except BaseException:
        print(f"the logs are kept in {folder}", file=sys.stderr, flush=True)
        raise
    if made.keep:
        print(f"the logs are kept in {folder}", file=sys.stderr, flush=True)
        return
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
