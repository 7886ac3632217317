"""`Content-Encoding` of requests and responses: bounded on the way in, streamed on the way out."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import lz4.frame  # type: ignore[import-untyped]
import zstandard

from stack.clickhouse import errors
from stack.clickhouse.errors import QueryError

_STEP = 1 << 20
#: zstd frames may ask for a window of gigabytes; 128 MiB is what the format calls the usual maximum.
_MAX_WINDOW = 1 << 27
#: A block of 128 KiB takes 4 bytes at least: one step makes 32 MiB at most.
_ZSTD_STEP = 1 << 10
#: Most wanted first, as ClickHouse chooses.
RESPONSE_ENCODINGS = ("zstd", "lz4", "gzip", "deflate")


class Encoder(Protocol):
    """Compresses a stream; the pieces together are one valid body."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Lz4Encoder:
    def __init__(self) -> None:
        self._frame = lz4.frame.LZ4FrameCompressor()
        self._head: bytes = self._frame.begin()

    def compress(self, data: bytes, /) -> bytes:
        head, self._head = self._head, b""
        return head + bytes(self._frame.compress(data))

    def flush(self) -> bytes:
        return self._head + bytes(self._frame.flush())


def encoder(encoding: str) -> Encoder:
    """Return a new compressor for one of `RESPONSE_ENCODINGS`."""
    if encoding == "zstd":
        return zstandard.ZstdCompressor(level=1).compressobj()
    if encoding == "lz4":
        return _Lz4Encoder()
    return zlib.compressobj(3, zlib.DEFLATED, 31 if encoding == "gzip" else 15)


def choose(accept: str) -> str:
    """Return the encoding for a response by its `Accept-Encoding`; empty for none."""
    offered = [part.partition(";") for part in accept.lower().split(",")]
    wanted = {name.strip() for name, _, weight in offered if weight.strip() not in ("q=0", "q=0.0")}
    return next((name for name in RESPONSE_ENCODINGS if name in wanted), "")


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """Return `body` decoded. Raises `QueryError`: unknown encoding, bad data, or above `limit` bytes."""
    readers: dict[str, Callable[[bytes], Iterator[bytes]]] = {
        "gzip": lambda data: _zlib(data, 31),
        "x-gzip": lambda data: _zlib(data, 31),
        "deflate": lambda data: _zlib(data, 15),
        "lz4": _lz4,
        "zstd": _zstd,
    }
    reader = readers.get(encoding)
    if reader is None:
        raise QueryError(errors.UNSUPPORTED_MEDIA_TYPE, f"Unknown Content-Encoding: {encoding[:40]}")
    whole = bytearray()
    try:
        for piece in reader(body):
            whole += piece
            if len(whole) > limit:
                raise QueryError(
                    errors.QUERY_IS_TOO_LARGE, f"The body decompresses to more than {limit} bytes"
                )
    except (zlib.error, zstandard.ZstdError, RuntimeError, EOFError) as error:
        raise QueryError(errors.CANNOT_DECOMPRESS, f"Cannot decompress the body as {encoding}") from error
    return bytes(whole)


def _zlib(data: bytes, window: int) -> Iterator[bytes]:
    while data:
        inflate = zlib.decompressobj(window)
        while not inflate.eof:
            piece = inflate.decompress(data, _STEP)
            if not piece and not inflate.unconsumed_tail and not inflate.eof:
                raise EOFError
            yield piece
            data = inflate.unconsumed_tail
        data = inflate.unused_data


def _lz4(data: bytes) -> Iterator[bytes]:
    while data:
        frame = lz4.frame.LZ4FrameDecompressor()
        while not frame.eof:
            piece = bytes(frame.decompress(data, _STEP))
            data = b""
            if not piece and frame.needs_input and not frame.eof:
                raise EOFError
            yield piece
        data = frame.unused_data or b""


def _zstd(data: bytes) -> Iterator[bytes]:
    # Fed in small steps, since its output cannot be bounded; and not its stream reader, which takes a
    # truncated frame for the end.
    rest = memoryview(data)
    while rest:
        frame = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).decompressobj()
        while not frame.eof:
            if not rest:
                raise EOFError
            piece = rest[:_ZSTD_STEP]
            yield frame.decompress(piece)
            rest = rest[len(piece) - len(frame.unused_data) :]
