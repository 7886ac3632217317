"""`runmeter checkpoint`, `rebuild` and `reconcile` on a whole stack whose Valkey is lost."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import environment
from redis.asyncio import Redis

from schemas import keys, topics
from stack import rebuild
from stack.errors import StackError


class Stack:
    """A stack on a folder, as its operator handles it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def runmeter(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "stack.cli", *arguments]
        return subprocess.run(
            command, env=environment(self.folder), capture_output=True, text=True, timeout=240, check=False
        )

    def ok(self, *arguments: str) -> str:
        done = self.runmeter(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run_some(self, count: int) -> None:
        assert "exact agreement" in self.ok("demo", "--runs", str(count), "--exit")

    def lose_valkey(self) -> None:
        self.ok("down")
        shutil.rmtree(self.folder / "valkey")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack(tmp_path_factory.mktemp("rebuild"))
    yield made
    made.runmeter("down")


@pytest.mark.timeout(600)
def test_a_lost_valkey_is_rebuilt_from_its_checkpoint_and_from_the_log(own: Stack) -> None:
    own.ok("up", "--detach")
    own.run_some(15)
    checkpoint = Path(own.ok("checkpoint").strip())
    assert checkpoint.parent == own.folder / "checkpoints"
    own.run_some(15)
    before = json.loads(own.ok("reconcile", "--json"))
    assert before["exact"]
    assert before["runs"] == 30

    own.lose_valkey()
    assert "exact" in own.ok("rebuild", "--checkpoint", str(checkpoint))
    after = json.loads(own.ok("reconcile", "--json"))
    assert after["figures"] == before["figures"]
    refused = own.runmeter("rebuild")
    assert refused.returncode == 1
    assert "runmeter down" in refused.stderr

    own.lose_valkey()
    assert "exact" in own.ok("rebuild", "--from-log")
    assert json.loads(own.ok("reconcile", "--json"))["figures"] == before["figures"]
    # Keys and prices alone, beside what runs: all of them are there.
    assert "0 keys, instances and prices were written" in own.ok("rebuild", "--records")
    # Nothing was charged or stored twice, and it goes on.
    own.run_some(5)


@pytest.mark.timeout(60)
def test_a_rebuild_without_a_checkpoint_says_what_else_there_is(tmp_path: Path) -> None:
    empty = Stack(tmp_path)
    refused = empty.runmeter("rebuild")
    assert refused.returncode == 1
    assert "--from-log" in refused.stderr
    refused = empty.runmeter("rebuild", "--checkpoint", str(tmp_path / "none.rdb"))
    assert refused.returncode == 1
    assert "there is no checkpoint" in refused.stderr


async def test_an_empty_redis_that_is_not_ours_is_filled_from_the_log(
    kafka: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = redis_url.removesuffix("/0") + "/7"
    monkeypatch.setenv("RUNMETER_REDIS_URL", url)
    monkeypatch.setenv("RUNMETER_KAFKA_BOOTSTRAP", kafka)
    redis = Redis.from_url(url)
    asked = argparse.Namespace(records=False, from_log=True, checkpoint=None)
    try:
        assert await asyncio.to_thread(rebuild.run, asked) == 0
        assert "from its beginning" in capsys.readouterr().out
        fences = [keys.fence(p, topic.name) for p in range(8) for topic in topics.METERED]
        assert set(await redis.mget(fences)) == {b"0"}

        with pytest.raises(StackError, match="empty it first"):
            await asyncio.to_thread(rebuild.run, asked)
    finally:
        await redis.flushdb()
        await redis.aclose()
