"""The file of a form is read as it comes in, whatever the pieces, and whatever else the form has."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from console_api.knowledge.multipart import FormFile
from kit.problems import InvalidRequest

KIND = "multipart/form-data; boundary=XXX"


def part(name: str, body: bytes, filename: str | None = None) -> bytes:
    named = f'; filename="{filename}"' if filename is not None else ""
    head = f'--XXX\r\nContent-Disposition: form-data; name="{name}"{named}\r\nContent-Type: x/y\r\n\r\n'
    return head.encode() + body + b"\r\n"


async def in_pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def read(body: bytes, size: int = 1_000_000, kind: str = KIND) -> tuple[str, bytes]:
    form = FormFile(kind, in_pieces(body, size))
    await form.begin()
    return form.filename, b"".join([piece async for piece in form.content()])


@pytest.mark.parametrize("size", [1, 7, 64, 1_000_000])
async def test_a_file_is_the_same_however_it_comes(size: int) -> None:
    data = bytes(range(256)) * 5 + b"\r\n--XX\r\n--XXY"
    body = (
        part("note", b"hello") + part("file", data, "a b.pdf") + part("file", b"second", "b") + b"--XXX--\r\n"
    )

    assert await read(body, size) == ("a b.pdf", data)


async def test_an_empty_file_is_one() -> None:
    assert await read(part("file", b"", "a") + b"--XXX--\r\n", 3) == ("a", b"")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (part("other", b"x", "a") + b"--XXX--\r\n", KIND),
        (part("file", b"only a text") + b"--XXX--\r\n", KIND),
        (b"--XXX--\r\n", KIND),
        (b"no form at all", KIND),
        (b"", KIND),
        (part("file", b"x", "a")[:-2], KIND),
        (part("file", b"x", "a"), "multipart/form-data"),
        (b"".join(part(f"f{n}", b"x") for n in range(20)) + part("file", b"x", "a"), KIND),
        (part("note", b"x" * 100_000) + part("file", b"x", "a") + b"--XXX--\r\n", KIND),
        (b"--XXX\r\n" + b"A" * 20_000 + b": b\r\n\r\nx", KIND),
    ],
)
async def test_a_form_without_a_whole_file_is_refused(body: bytes, kind: str) -> None:
    with pytest.raises(InvalidRequest):
        await read(body, 1_000, kind)
