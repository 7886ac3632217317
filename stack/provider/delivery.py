"""Sending a reply, at the model's pace, and keeping count of what was sent."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any

from starlette.types import Message, Send

from kit import tokens
from stack.provider import wire
from stack.provider.faults import Fault
from stack.provider.order import Order
from stack.provider.reply import Reply
from stack.provider.timing import ClientGone, Connection, Pace
from stack.provider.usage_log import Served

#: Without delays, events go out this many at a time; with them, those due within so many seconds.
_FRAMES_PER_WRITE = 32
_TOGETHER_S = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One reply on its way to one client.

    `used`: what the client is told about usage; `None`: nothing. `began`: when the model began, monotonic
    seconds. Both ways to send raise `ClientGone`, and return without ending the response if it is to be cut.
    """

    asked: Order
    fault: Fault
    reply: Reply
    used: dict[str, Any] | None
    served: Served
    pace: Pace
    began: float
    connection: Connection
    send: Send

    async def whole(self) -> None:
        """Send one object when all of it is generated."""
        served, reply, cut = self.served, self.reply, self.fault.cut_after >= 0
        try:
            await self._until(reply.tokens)
        except ClientGone:
            served.completion_tokens = min(self.pace.generated(time.monotonic() - self.began), reply.tokens)
            raise
        served.completion_tokens = reply.tokens
        body = wire.completion(self.asked.model, reply, self.used)
        length = len(body)
        if cut or self.fault.bad_json:
            body = body[: length // 2]
        await self.send(_start(b"application/json", length if cut else len(body)))
        await self.send(_part(body, more=cut))
        if not cut:
            served.sent_tokens, served.finished = reply.tokens, not self.fault.bad_json

    async def stream(self) -> None:
        """Send events, each when its tokens are generated."""
        asked, served, cut_after = self.asked, self.served, self.fault.cut_after
        wanted = asked.wants_usage and self.used is not None
        used = self.used if wanted else None
        frames, ending = wire.frames(asked.model, self.reply, used, usage_null=wanted), wire.DONE
        if self.fault.bad_json:
            frames, ending = frames[:2], wire.BROKEN
        cut = 0 <= cut_after < len(frames)
        if cut:
            frames, ending = frames[:cut_after], b""
        sent: list[str] = []
        try:
            # Nothing comes before the first token, not even the status line.
            await self._until(0)
            await self.send(_start(b"text/event-stream; charset=utf-8"))
            await self._send(frames, ending, sent, cut=cut)
            served.finished = not cut and not self.fault.bad_json
        finally:
            # Piece by piece, a count is a little off: what was sent is counted as one text.
            exact = self.reply.tokens if served.finished else tokens.count("".join(sent), asked.model)
            served.completion_tokens = served.sent_tokens = exact

    async def _send(self, frames: list[wire.Frame], ending: bytes, sent: list[str], *, cut: bool) -> None:
        """Send the frames and the ending; put the text that left into `sent`."""
        at = count = 0
        while at < len(frames):
            await self._until(count)
            group = frames[at : self._due(frames, at, count)]
            at += len(group)
            last = at == len(frames)
            data = [frame.data for frame in group]
            if last:
                data.append(ending)
            await self.send(_part(b"".join(data), more=cut or not last))
            sent += [frame.text for frame in group]
            count += sum(frame.tokens for frame in group)
            self.served.completion_tokens = self.served.sent_tokens = count
            if not last:
                await self.connection.breathe()

    def _due(self, frames: list[wire.Frame], at: int, count: int) -> int:
        """Return the end of the frames to send now, at least one, when `count` tokens have been sent."""
        if not self.pace.scale:
            return at + _FRAMES_PER_WRITE
        elapsed = time.monotonic() + _TOGETHER_S - self.began
        count += frames[at].tokens
        at += 1
        while at < len(frames) and self.pace.due_s(count) <= elapsed:
            count += frames[at].tokens
            at += 1
        return at

    async def _until(self, count: int) -> None:
        """Wait until so many tokens have been generated."""
        if self.pace.scale:
            await self.connection.pause(self.began + self.pace.due_s(count) - time.monotonic())


def _start(content_type: bytes, length: int | None = None) -> Message:
    headers = [(b"content-type", content_type), (b"x-request-id", f"req_{secrets.token_hex(16)}".encode())]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    else:
        headers.append((b"cache-control", b"no-cache"))
    return {"type": "http.response.start", "status": 200, "headers": headers}


def _part(body: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}
