"""`runmeter rebuild`: give a stack back the state that its Valkey lost.

From a checkpoint, or from the beginning of the log. Either way the fences are older than the log, and the
workers apply what lies between; ledger and runs in ClickHouse are facts, so nothing there is counted twice.
Ends with a reconciliation. What was in Valkey is moved aside, not removed.

Keys, instances and prices come from `control.records`, which needs no control plane; with `--records` they
alone are written, to any Redis, whatever runs. A Redis that is not ours is only filled from the log, and what
applies it is started by whoever runs the workers.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from aiokafka.errors import KafkaError
from redis.asyncio import Redis
from redis.exceptions import RedisError
from rich.console import Console

from kit import clock
from kit.settings import KafkaSettings, RedisSettings, load
from stack import checkpoints, layout, ports, reconcile, records, servers, state, topics, up
from stack.errors import StackError

_READY_S = 60.0
_POLL_S = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--checkpoint", type=Path, help="a copy of Valkey's snapshot; the newest by default")
    source.add_argument("--from-log", action="store_true", help="start empty and apply the whole log")
    source.add_argument(
        "--records",
        action="store_true",
        help="only keys, instances and prices, from Kafka to the Redis in use",
    )


def run(args: argparse.Namespace) -> int:
    """Rebuild, start the stack, and say whether everything agrees."""
    folder, console = up.data_dir(), Console()
    if args.records:
        return asyncio.run(_records(console))
    if layout.is_replaced("valkey"):
        if args.from_log:
            return asyncio.run(_from_log(console))
        raise StackError(
            "this Redis is not ours: restore its own snapshot, and the workers do the rest; or empty it "
            "and take `runmeter rebuild --from-log`"
        )
    if up.running(folder) is not None:
        raise StackError("the stack runs: stop it with `runmeter down` first")
    found = None if args.from_log else args.checkpoint or checkpoints.newest(folder)
    if not args.from_log and found is None:
        raise StackError("there is no checkpoint: `runmeter rebuild --from-log` applies the whole log again")
    if found is not None and not found.is_file():
        raise StackError(f"there is no checkpoint {found}")
    lock = state.Lock(folder)
    lock.acquire()
    try:
        aside = _move_aside(folder / "valkey")
        if found is None:
            (folder / topics.FROM_LOG).touch()
        else:
            asyncio.run(_load(found, folder))
    finally:
        lock.release()
    console.print(f"restored {found or 'nothing: the log is applied from its beginning'}", markup=False)
    if aside is not None:
        console.print(f"what was there is in {aside}", markup=False)
    up.start_detached(folder)
    report = reconcile.checked()
    reconcile.show(console, report)
    return 0 if report.exact else 1


async def _from_log(console: Console) -> int:
    """Have running workers apply the whole log to an empty Redis that is not ours."""
    kafka, redis_settings = load(KafkaSettings), load(RedisSettings)
    with _told("empty Redis and try again"):
        if await topics.has_state(kafka, redis_settings):
            raise StackError(
                "this Redis holds fences: what was applied to it once must not be again; empty it first"
            )
        changed = await records.restore(kafka, redis_settings)
        # Last: from here on the workers apply.
        await topics.fences_from_log(kafka, redis_settings)
    console.print(f"{changed:,} keys, instances and prices were written")
    console.print("the workers apply the log from its beginning")
    console.print("`runmeter reconcile --wait 600` tells when everything agrees")
    return 0


async def _records(console: Console) -> int:
    """Write what `control.records` holds to the running stack's Redis, or to that of the environment."""
    kafka, redis_settings, _ = reconcile.settings()
    with _told("what was written stays"):
        changed = await records.restore(kafka, redis_settings)
    console.print(f"{changed:,} keys, instances and prices were written")
    return 0


@contextlib.contextmanager
def _told(then: str) -> Iterator[None]:
    """Say that a store is away, and what that means."""
    try:
        yield
    except (KafkaError, RedisError, OSError, TimeoutError) as error:
        raise StackError(f"a store could not be reached: {error!r}; {then}") from error


def _move_aside(valkey: Path) -> Path | None:
    """Return where the old files are now, if there were any."""
    if not valkey.exists():
        return None
    aside = valkey.with_name(f"valkey.{clock.now_ms()}.old")
    valkey.rename(aside)
    return aside


async def _load(checkpoint: Path, folder: Path) -> None:
    """Start Valkey once from the snapshot, and let it write the append-only file it will start from."""
    data = folder / "valkey"
    data.mkdir(parents=True)
    shutil.copyfile(checkpoint, data / "dump.rdb")
    try:
        async with _valkey(data) as redis:
            # A batch that was half written when the snapshot was taken is half written in it.
            torn = [key async for key in redis.scan_iter(match="{p*}:applying", count=10_000)]
            if torn:
                raise StackError(f"{checkpoint} holds half a batch: take an older one, or --from-log")
            await redis.config_set("appendonly", "yes")
            while not await _rewritten(redis):  # noqa: ASYNC110 - another process does it
                await asyncio.sleep(_POLL_S)
    except RedisError as error:
        raise StackError(f"{checkpoint} could not be loaded: {error}") from error
    (data / "dump.rdb").unlink(missing_ok=True)


async def _rewritten(redis: Redis) -> bool:
    status = await redis.info("persistence")
    busy = int(status["aof_rewrite_in_progress"]) or int(status["aof_rewrite_scheduled"])
    return not busy and bool(int(status["aof_enabled"])) and status["aof_last_bgrewrite_status"] == "ok"


@contextlib.asynccontextmanager
async def _valkey(data: Path) -> AsyncIterator[Redis]:
    port = ports.choose({"valkey": 0}, {})["valkey"]
    argv = list(servers.valkey(data, port).argv)
    argv[argv.index("--appendonly") + 1] = "no"
    with (data / "rebuild.log").open("wb") as log:
        server = subprocess.Popen(argv, stdout=log, stderr=log)  # noqa: ASYNC220 - it starts at once
    redis = Redis(port=port)
    try:
        async with asyncio.timeout(_READY_S):
            while not await _answers(redis):
                if server.poll() is not None:
                    raise StackError(f"Valkey did not take the checkpoint; see {data / 'rebuild.log'}")
                await asyncio.sleep(_POLL_S)
        yield redis
    finally:
        await redis.aclose()
        server.terminate()
        server.wait(_READY_S)


async def _answers(redis: Redis) -> bool:
    with contextlib.suppress(RedisError, OSError):
        return bool(await redis.ping())
    return False
