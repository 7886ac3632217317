"""The parser of server-sent events, fed in every possible cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console import sse

WIRE = (
    b'retry: 1000\n\nid: 7-a\nevent: snapshot\ndata: {"a":1}\n\n: heartbeat 12\n\n'
    b"event: delta\r\nid: 8-a\r\ndata: x\r\ndata: y\r\n\r\nevent: bye\ndata: {}\n\n"
)
EXPECTED = [
    sse.ServerEvent("snapshot", b'{"a":1}', "7-a"),
    sse.ServerEvent("comment", b"", "7-a"),
    sse.ServerEvent("delta", b"x\ny", "8-a"),
    sse.ServerEvent("bye", b"{}", "8-a"),
]


async def _chunks(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def _parse(chunks: list[bytes]) -> list[sse.ServerEvent]:
    return [event async for event in sse.events(_chunks(chunks))]


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, len(WIRE)), max_size=12))
def test_events_do_not_depend_on_how_the_network_cuts_them(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(WIRE)]
    chunks = [WIRE[a:b] for a, b in pairwise(places) if a < b]
    assert asyncio.run(_parse(chunks)) == EXPECTED


async def test_an_endless_line_is_refused() -> None:
    with pytest.raises(ValueError, match="limit"):
        await _parse([b"data: " + b"x" * (1 << 21)])
