"""Tool calls as a model writes them, piece by piece, and the message that they become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.call_meter import CallMeter
from runner.model import ToolCallDelta


@dataclass
class WrittenCall:
    """A tool call that is being written."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)

    @property
    def known_as(self) -> str:
        """The name that the call is metered and paid by."""
        return self.name[:256] or "?"


def write(written: dict[int, WrittenCall], piece: ToolCallDelta, meter: CallMeter) -> None:
    """Add a piece to the call it belongs to, and to what the model wrote."""
    call = written.setdefault(piece.index, WrittenCall())
    call.id = piece.id or call.id
    if piece.function is not None:
        if piece.function.name:
            call.name = piece.function.name
            meter.wrote(piece.function.name, shown=False)
        if piece.function.arguments:
            call.arguments.append(piece.function.arguments)
            meter.wrote(piece.function.arguments, shown=False)


def assistant_message(text: str, written: Sequence[WrittenCall]) -> dict[str, Any]:
    """Return what the model said, with the calls it asked for."""
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": "".join(call.arguments)},
        }
        for call in written
    ]
    return {"role": "assistant", "content": text or None, "tool_calls": calls}
