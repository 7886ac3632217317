"""Bytes that are too large for a record: files named by what is in them, in a folder of their owner."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Collection
from hashlib import sha256
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from kit.settings import KnowledgeSettings, StackSettings, load

_OWNER = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class BlobTooLarge(Exception):
    """More bytes came than allowed; nothing was kept."""


class BlobMissing(Exception):
    """There are no such bytes, or not these."""


class BlobStore(Protocol):
    """Where the bytes of knowledge sources are. A blob is there until its owner lets it go."""

    async def put(self, owner: str, chunks: AsyncIterator[bytes], max_bytes: int) -> tuple[str, int]:
        """Keep the bytes once they are durable; return their SHA-256 and length. Raises `BlobTooLarge`."""

    async def fetch(self, owner: str, digest: str, to: Path) -> int:
        """Write the bytes to a new file and return how many. Raises `BlobMissing`."""

    async def keep(self, owner: str, digests: Collection[str]) -> None:
        """Delete an owner's blobs but these. Doing it again changes nothing."""

    async def delete(self, owner: str) -> None:
        """Delete all of an owner's blobs. Doing it again changes nothing."""


class FileBlobs:
    """Blobs in a folder that every process of the product sees."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def put(self, owner: str, chunks: AsyncIterator[bytes], max_bytes: int) -> tuple[str, int]:
        folder = self._folder(owner)
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        temporary = folder / f"{uuid4().hex}.part"
        digest, size = sha256(), 0
        try:
            with temporary.open("xb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > max_bytes:
                        raise BlobTooLarge(f"more than {max_bytes} bytes")
                    digest.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())
            temporary.replace(folder / digest.hexdigest())
            await asyncio.to_thread(_sync_folder, folder)
        finally:
            temporary.unlink(missing_ok=True)
        return digest.hexdigest(), size

    async def fetch(self, owner: str, digest: str, to: Path) -> int:
        if not _DIGEST.fullmatch(digest):
            raise BlobMissing("not a blob's name")
        return await asyncio.to_thread(_copy, self._folder(owner) / digest, digest, to)

    async def keep(self, owner: str, digests: Collection[str]) -> None:
        await asyncio.to_thread(_leave, self._folder(owner), digests)

    async def delete(self, owner: str) -> None:
        await asyncio.to_thread(shutil.rmtree, self._folder(owner), ignore_errors=True)

    def _folder(self, owner: str) -> Path:
        if not _OWNER.fullmatch(owner):
            raise ValueError("an owner's name is letters, digits, `_` and `-`")
        return self._root / owner


def open_blobs() -> BlobStore:
    """Return the blob store of the settings."""
    folder = load(KnowledgeSettings).blob_dir
    return FileBlobs(Path(folder) if folder else load(StackSettings).data_dir / "blobs")


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    """Yield bytes that are in memory already."""
    yield data


def _copy(source: Path, digest: str, to: Path) -> int:
    found = sha256()
    try:
        with source.open("rb") as file, to.open("xb") as copy:
            while chunk := file.read(1 << 20):
                found.update(chunk)
                copy.write(chunk)
            size = file.tell()
    except FileNotFoundError as error:
        raise BlobMissing("the bytes are gone") from error
    if found.hexdigest() != digest:
        raise BlobMissing("the bytes were damaged")
    return size


def _leave(folder: Path, digests: Collection[str]) -> None:
    for blob in folder.iterdir():
        if _DIGEST.fullmatch(blob.name) and blob.name not in digests:
            blob.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
