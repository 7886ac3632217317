from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import PATIENCE_S

from kit import spool as spool_files
from kit.spool import Spool, SpoolFull, read

MB = 1024 * 1024
HEADER = 8


def contents(directory: Path) -> list[bytes]:
    return [payload for path in sorted(directory.glob("*.spool")) for payload in read(path)]


async def test_a_record_can_be_read_back_as_soon_as_append_returns(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "new" / "folder", MB)
    for payload in (b"one", b"", b"\x00" * 3_000):
        await spool.append(payload)

        assert contents(tmp_path / "new" / "folder")[-1] == payload
    assert spool.depth_bytes == 3 + 3_000 + 3 * HEADER


async def test_append_returns_after_the_disk_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync

    def noted(descriptor: int) -> None:
        real(descriptor)
        synced.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fsync", noted)
    spool = Spool(tmp_path, MB)

    await spool.append(b"x" * 100)

    assert synced[-1] == 100 + HEADER


async def test_concurrent_appends_share_an_fsync_and_keep_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = 0
    real = os.fsync

    def counted(descriptor: int) -> None:
        nonlocal syncs
        syncs += 1
        real(descriptor)

    monkeypatch.setattr(os, "fsync", counted)
    spool = Spool(tmp_path, MB)
    payloads = [b"%d" % n for n in range(500)]

    await asyncio.gather(*(spool.append(payload) for payload in payloads))

    assert contents(tmp_path) == payloads
    assert syncs <= 5


@pytest.mark.parametrize("kept", [1, HEADER - 1, HEADER, HEADER + 3])
async def test_a_torn_tail_is_ignored(tmp_path: Path, kept: int) -> None:
    spool = Spool(tmp_path, MB)
    await spool.append(b"whole")
    await spool.append(b"torn off")
    [segment] = spool.segments()
    os.truncate(segment, HEADER + len(b"whole") + kept)

    assert list(read(segment)) == [b"whole"]


async def test_a_record_whose_checksum_is_wrong_is_not_read(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MB)
    await spool.append(b"good")
    await spool.append(b"damaged")
    [segment] = spool.segments()
    data = bytearray(segment.read_bytes())
    data[-1] ^= 1
    segment.write_bytes(data)

    assert list(read(segment)) == [b"good"]


async def test_a_full_spool_says_so_and_writes_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 2 * (10 + HEADER))
    await spool.append(b"a" * 10)
    await spool.append(b"b" * 10)

    with pytest.raises(SpoolFull, match="limit"):
        await spool.append(b"c")

    assert contents(tmp_path) == [b"a" * 10, b"b" * 10]


async def test_concurrent_appends_cannot_pass_the_limit(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10 * (10 + HEADER))

    done = await asyncio.gather(*(spool.append(b"x" * 10) for _ in range(25)), return_exceptions=True)

    assert [type(result) for result in done].count(SpoolFull) == 15
    assert len(contents(tmp_path)) == 10


async def test_room_is_made_by_removing_a_segment(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10 + HEADER)
    await spool.append(b"a" * 10)
    segment = spool.oldest()
    assert segment is not None

    spool.remove(segment)
    await spool.append(b"b" * 10)

    assert contents(tmp_path) == [b"b" * 10]
    assert spool.depth_bytes == 10 + HEADER


async def test_the_oldest_segment_is_no_longer_appended_to(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MB)
    assert spool.oldest() is None
    await spool.append(b"first")

    segment = spool.oldest()
    await spool.append(b"second")

    assert segment is not None
    assert list(read(segment)) == [b"first"]
    spool.remove(segment)
    after = spool.oldest()
    assert after is not None
    assert list(read(after)) == [b"second"]
    spool.remove(after)
    assert spool.oldest() is None
    assert spool.depth_bytes == 0


async def test_a_long_segment_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_files, "_SEGMENT_BYTES", 100)
    spool = Spool(tmp_path, MB)
    payloads = [bytes([n]) * 60 for n in range(6)]
    for payload in payloads:
        await spool.append(payload)

    assert len(spool.segments()) >= 3
    assert contents(tmp_path) == payloads
    assert max(path.stat().st_size for path in spool.segments()) <= 100 + 60 + HEADER


async def test_a_restart_finds_what_was_left_and_appends_behind_no_torn_tail(tmp_path: Path) -> None:
    before = Spool(tmp_path, MB)
    await before.append(b"kept")
    await before.append(b"torn")
    [segment] = before.segments()
    os.truncate(segment, segment.stat().st_size - 1)

    after = Spool(tmp_path, MB)
    assert after.depth_bytes == segment.stat().st_size
    await after.append(b"new")

    assert contents(tmp_path) == [b"kept", b"new"]
    assert after.oldest() == segment


async def test_many_restarts_leave_no_empty_segments_behind(tmp_path: Path) -> None:
    for _ in range(5):
        spool = Spool(tmp_path, MB)

    assert spool.oldest() is None
    assert spool.segments() == []


async def test_a_restart_counts_leftovers_towards_the_limit(tmp_path: Path) -> None:
    await Spool(tmp_path, MB).append(b"x" * 100)

    with pytest.raises(SpoolFull):
        await Spool(tmp_path, 150).append(b"y" * 50)


async def test_a_disk_that_cannot_be_written_is_reported_and_recovered_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, MB)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(SpoolFull, match="No space left"):
            await spool.append(b"lost")

    await spool.append(b"kept")
    assert contents(tmp_path)[-1] == b"kept"


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 KiB that holds three files."""
    disk = tmp_path / "disk"
    disk.mkdir()
    options = "size=16k,nr_inodes=4"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], check=False)
    if mounted.returncode:
        pytest.skip("a disk can be mounted by root only")
    yield disk
    subprocess.run(["umount", disk], check=True)


async def test_what_is_written_after_a_full_disk_is_not_behind_its_torn_tail(tiny_disk: Path) -> None:
    spool = Spool(tiny_disk, MB)
    await spool.append(b"before")
    fillers = [tiny_disk / "other", tiny_disk / "another"]
    fillers[0].write_bytes(b"x" * 8_192)
    fillers[1].touch()

    with pytest.raises(SpoolFull, match="No space left"):
        await spool.append(b"y" * 8_192)
    for filler in fillers:
        filler.unlink()
    await spool.append(b"after")

    assert contents(tiny_disk) == [b"before", b"after"]


async def test_a_folder_that_is_gone_is_reported(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool = Spool(folder, MB)
    for path in spool.segments():
        path.unlink()
    folder.rmdir()

    with pytest.raises(SpoolFull):
        async with asyncio.timeout(PATIENCE_S):
            await spool.append(b"x")


async def test_an_append_that_is_given_up_hurts_no_other(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MB)
    first, second = (asyncio.create_task(spool.append(payload)) for payload in (b"first", b"second"))
    await asyncio.sleep(0)
    first.cancel()

    await second

    assert contents(tmp_path)[-1] == b"second"
