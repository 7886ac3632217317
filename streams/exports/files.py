"""Parquet files, in S3 or in a folder: one per range of a partition, named by it.

A repeat of a range writes the same file again. Ranges never overlap: which one is to be written is committed
to Kafka before (`Shipper`), and a replay cuts where the files that are there were cut.
"""

from __future__ import annotations

import asyncio
import io
import os
import re
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet

from kit.settings.exports import FilesDestination
from schemas.billing import BillingRecord
from schemas.topics import BILLING
from streams.exports.port import Batch, Refusal, Unavailable

_NAME = re.compile(r"(\d{20})-(\d{20})\.parquet$")
_TYPES = {"str": pa.string(), "int": pa.int64(), "bool": pa.bool_()}


def schema() -> pa.Schema:
    """Return the files' columns: a record's fields, and the offset it has in its partition."""
    fields = []
    for field in msgspec.inspect.type_info(BillingRecord).fields:  # type: ignore[attr-defined]
        kind = type(field.type).__name__
        named = "bool" if kind == "BoolType" else "int" if kind == "IntType" else "str"
        if kind == "LiteralType" and isinstance(field.type.values[0], int):
            named = "int"
        fields.append(pa.field(field.name, _TYPES[named], nullable=False))
    return pa.schema([*fields, pa.field("offset", pa.int64(), nullable=False)])


class Files:
    """A folder of one bucket or disk."""

    repeatable_ms = 0

    def __init__(self, settings: FilesDestination) -> None:
        self._timeout_s = settings.timeout_ms / 1000
        self._schema = schema()
        self._local = not settings.url.startswith("s3://")
        self._root = settings.url if self._local else settings.url.removeprefix("s3://").rstrip("/")
        self._fs = pyarrow.fs.LocalFileSystem() if self._local else _s3(settings)

    async def deliver(self, batch: Batch) -> list[Refusal]:
        name = f"{batch.first:020d}-{batch.last:020d}.parquet"
        try:
            await asyncio.to_thread(self._write, self._folder(batch.partition), name, self._bytes(batch))
        except (OSError, pa.ArrowException) as error:
            raise Unavailable(f"the file could not be written: {error}") from error
        return []

    def _bytes(self, batch: Batch) -> bytes:
        rows = [{**msgspec.structs.asdict(item.record), "offset": item.offset} for item in batch.items]
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows, self._schema), buffer, compression="zstd")
        return buffer.getvalue()

    def _write(self, folder: str, name: str, content: bytes) -> None:
        if not self._local:
            # An object is there when it is complete, never in part.
            with self._fs.open_output_stream(f"{folder}/{name}") as stream:
                stream.write(content)
            return
        made = Path(folder) / f".{name}.partial"
        made.parent.mkdir(parents=True, exist_ok=True)
        with made.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        made.replace(Path(folder) / name)

    def _folder(self, partition: int) -> str:
        return f"{self._root}/{BILLING.name}/partition={partition}"

    async def spans(self, partition: int) -> list[tuple[int, int]]:
        """Return the ranges that there are files of."""
        try:
            return await asyncio.to_thread(self._spans, self._folder(partition))
        except (OSError, pa.ArrowException) as error:
            raise Unavailable(f"the files cannot be listed: {error}") from error

    def _spans(self, folder: str) -> list[tuple[int, int]]:
        chosen = pyarrow.fs.FileSelector(folder, allow_not_found=True)
        found = [_NAME.search(info.path) for info in self._fs.get_file_info(chosen)]
        return sorted((int(match[1]), int(match[2])) for match in found if match)

    async def close(self) -> None:
        """Nothing is open."""


def _s3(settings: FilesDestination) -> pyarrow.fs.S3FileSystem:
    options: dict[str, object] = {
        "region": settings.region,
        "request_timeout": settings.timeout_ms / 1000,
        "connect_timeout": settings.timeout_ms / 1000,
    }
    if settings.endpoint:
        scheme, _, host = settings.endpoint.partition("://")
        options |= {"endpoint_override": host, "scheme": scheme}
    if settings.access_key is not None and settings.secret_key is not None:
        options["access_key"] = settings.access_key.get_secret_value()
        options["secret_key"] = settings.secret_key.get_secret_value()
    return pyarrow.fs.S3FileSystem(**options)
