"""Checkpoints: point-in-time copies of the embedded Valkey, kept outside of its folder.

Valkey's own snapshot is consistent over all keys: fences, wallets and run states in it belong together. What
came after is applied again from Kafka. With another Redis, its own snapshots are the checkpoints.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import shutil
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from kit import clock, redis_client
from kit.settings import RedisSettings, StackSettings, load
from stack import layout, state
from stack.errors import StackError

log = logging.getLogger(__name__)

KEPT = 3
_POLL_S = 0.1
_TIMEOUT_S = 300.0


def folder(data_dir: Path) -> Path:
    """Return where checkpoints are kept."""
    return data_dir / "checkpoints"


def newest(data_dir: Path) -> Path | None:
    """Return the latest checkpoint, if there is one."""
    return max(folder(data_dir).glob("*.rdb"), key=_moment, default=None)


def add_arguments(_: argparse.ArgumentParser) -> None:
    """There are none."""


def run(_: argparse.Namespace) -> int:
    """Take a checkpoint of the running stack and print its path."""
    data_dir = load(StackSettings).data_dir
    running = state.read(data_dir)
    if running is None or running.phase != "ready":
        raise StackError("no stack runs here: start one with `runmeter up`")
    if layout.is_replaced("valkey"):
        raise StackError("this stack's Redis is not ours: its own snapshots are the checkpoints")
    try:
        print(asyncio.run(take(RedisSettings(url=running.urls.redis_url), data_dir)))
    except (RedisError, OSError, TimeoutError) as error:
        raise StackError(f"no checkpoint could be taken: {error}") from error
    return 0


async def take(settings: RedisSettings, data_dir: Path) -> Path:
    """Take a checkpoint now and drop the oldest. Raises `RedisError`, `OSError` or `TimeoutError`."""
    redis = redis_client.connect(settings)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            await _save(redis)
            said = {**await redis.config_get("dir"), **await redis.config_get("dbfilename")}
            source = Path(str(said["dir"])) / str(said["dbfilename"])
    finally:
        await redis.aclose()
    return await asyncio.to_thread(_keep, source, folder(data_dir))


async def keep_taking(settings: RedisSettings, data_dir: Path, every_s: float) -> None:
    """Take a checkpoint every so often, unless nothing changed, for ever."""
    redis = redis_client.connect(settings)
    try:
        while True:
            await asyncio.sleep(every_s)
            try:
                changes = int((await redis.info("persistence"))["rdb_changes_since_last_save"])
                if changes or newest(data_dir) is None:
                    await take(settings, data_dir)
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("no checkpoint was taken", extra={"error": repr(error)})
    finally:
        await redis.aclose()


async def _save(redis: Redis) -> None:
    before = await redis.lastsave()
    await redis.bgsave()
    while True:
        status = await redis.info("persistence")
        if not int(status["rdb_bgsave_in_progress"]):
            if status["rdb_last_bgsave_status"] != "ok":
                raise OSError("Valkey could not write its snapshot; its log says why")
            if await redis.lastsave() >= before:
                return
        await asyncio.sleep(_POLL_S)


def _keep(source: Path, target: Path) -> Path:
    """Copy a snapshot where a crash cannot leave half of it, and forget the oldest."""
    target.mkdir(parents=True, exist_ok=True)
    kept = target / f"{clock.now_ms()}.rdb"
    partial = kept.with_suffix(".partial")
    with source.open("rb") as reading, partial.open("wb") as writing:
        shutil.copyfileobj(reading, writing)
        writing.flush()
        os.fsync(writing.fileno())
    partial.replace(kept)
    for old in sorted(target.glob("*.rdb"), key=_moment)[:-KEPT]:
        old.unlink(missing_ok=True)
    return kept


def _moment(path: Path) -> int:
    return int(path.stem) if path.stem.isdigit() else 0
