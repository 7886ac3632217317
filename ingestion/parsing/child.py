"""What runs in the parsing process. It has no secrets, and what it breaks is only itself."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from ingestion.errors import SourceFailed
from ingestion.parsing.job import LENGTH_BYTES, Gave, Item, Job, Moved, Refused, Said, Skipped
from kit.vectors.port import Chunk

_PR_SET_PDEATHSIG = 1
_FILES = 128
_WRITTEN_BYTES = 16 * 1024 * 1024


class QuestionAndAnswer(Struct):
    """One pair of a `qa` source."""

    question: str
    answer: str


def main() -> None:
    """Read the job from standard input, do it, and say what came of it on standard output."""
    if sys.platform == "linux":
        # A worker that is killed takes this along.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    out = os.fdopen(os.dup(1), "wb")
    # What libraries print is not ours to say.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    job = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Job)
    _limit(job)
    try:
        said: Said = _work(job, out)
    except SourceFailed as failed:
        said = Refused(failed.code)
    except MemoryError:
        said = Refused("too_large")
    except Exception:
        said = Refused("corrupt")
    _say(out, said)


def _limit(job: Job) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (job.memory_bytes, job.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (job.cpu_s, job.cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_WRITTEN_BYTES, _WRITTEN_BYTES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _work(job: Job, out: BinaryIO) -> Gave:
    chunks: list[Chunk] = []
    if job.kind == "qa":
        return Gave(1, _pairs(job.items[0], job.max_chunks))
    count, read = 0, 0
    failures: list[str] = []
    for done, item in enumerate(job.items):
        _say(out, Moved("parsing", done, len(job.items)))
        try:
            found = _item(item, job, out, len(chunks), job.max_text_chars - read)
        except SourceFailed as failed:
            if len(job.items) == 1:
                raise
            failures.append(failed.code)
            _say(out, Skipped(item.url, failed.code))
            continue
        count += found.pages
        read += sum(len(chunk.text) for chunk in found.chunks)
        chunks += found.chunks
    if not chunks:
        raise SourceFailed(failures[0] if failures else "no_text")
    return Gave(count, chunks)


def _item(item: Item, job: Job, out: BinaryIO, begin: int, room: int) -> Gave:
    # Late: what a job needs is imported under its limits.
    from ingestion.parsing.chunking import Splitter  # noqa: PLC0415
    from ingestion.parsing.detect import detect  # noqa: PLC0415
    from ingestion.parsing.documents import pages  # noqa: PLC0415

    path = Path(item.path)
    try:
        # An upload's title is its file's name.
        names = (item.title, urlsplit(item.url).path)
        kind = "text" if job.kind == "text" else detect(path, job.max_unpacked_bytes, names)
        found = pages(path, kind, job.max_pages)
    except (SourceFailed, MemoryError):
        raise
    except Exception as error:
        raise SourceFailed("corrupt") from error
    if sum(len(page.text) for page in found) > room:
        raise SourceFailed("too_large")
    if not any(char.isalnum() for page in found for char in page.text):
        raise SourceFailed("no_text")
    splitter = Splitter(job.chunk_tokens, job.chunk_overlap_tokens)
    chunks: list[Chunk] = []
    for done, page in enumerate(found):
        _say(out, Moved("chunking", done, len(found)))
        for text, section in splitter.cut(page):
            chunks.append(
                Chunk(
                    ordinal=begin + len(chunks),
                    text=text,
                    tokens=0,
                    title=page.title or item.title,
                    url=item.url,
                    section=section,
                    page=page.number,
                )
            )
            if begin + len(chunks) > job.max_chunks:
                raise SourceFailed("too_large")
    return Gave(len(found), chunks)


def _pairs(item: Item, max_chunks: int) -> list[Chunk]:
    pairs = msgspec.json.decode(Path(item.path).read_bytes(), type=list[QuestionAndAnswer])
    if not pairs:
        raise SourceFailed("empty")
    if len(pairs) > max_chunks:
        raise SourceFailed("too_large")
    return [
        Chunk(
            ordinal=n,
            text=f"Question: {pair.question}\nAnswer: {pair.answer}",
            tokens=0,
            title=item.title,
            section=pair.question[:300],
        )
        for n, pair in enumerate(pairs)
    ]


def _say(out: BinaryIO, said: Said) -> None:
    frame = msgspec.msgpack.encode(said)
    out.write(len(frame).to_bytes(LENGTH_BYTES, "big") + frame)
    out.flush()


if __name__ == "__main__":
    main()
