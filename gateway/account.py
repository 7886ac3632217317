"""What the gateway knows of a run's usage, folded from the runner's frames by the algebra that charges.

The metering worker's fold of the same events is what is charged; this one answers the client.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.answers import Answer, Failure, Usage
from gateway.credits import as_credits
from kit import tokens
from metering.closing import run_event
from metering.prices import PriceBook, cost
from metering.runs import Call, RunState, fold
from metering.totals import COUNTERS, totals_of
from schemas.directory import RunLease
from schemas.events import RunEvent, RunStatus, TokenEvent, ToolCallEvent, owner_of
from schemas.runner import CallStarted, Delta, Ended, Frame, ToolCallFinished, UsageReported

#: A `seq` no runner reaches: what the gateway says of a call whose runner died stands above the runner's
#: interim counts and below a final one.
_TAKEOVER_SEQ = 1_000_000_000
#: A guess at how long a token is, for text that has been streamed and not been counted yet.
_CHARS_PER_TOKEN = 4


class RunAccount:
    """Usage and text of one run in flight."""

    def __init__(self, lease: RunLease, book: PriceBook, end_user: str) -> None:
        self._lease = lease
        self._book = book
        self._end_user = end_user
        self._state: RunState | None = None
        self._text: list[str] = []
        self._counted: dict[str, int] = {}
        #: The latest word on each model and tool call.
        self._heard: dict[str, TokenEvent | ToolCallEvent] = {}
        self._open_call: CallStarted | None = None
        self._open_text: list[str] = []

    def take(self, frame: Frame) -> None:
        """Account for one frame."""
        match frame:
            case Delta():
                self._text.append(frame.text)
                self._open_text.append(frame.text)
            case CallStarted():
                self._open_call, self._open_text = frame, []
                self._counted[frame.call_id] = frame.input_tokens
            case UsageReported() | ToolCallFinished():
                self._hear(frame.event)
                if isinstance(frame.event, TokenEvent) and frame.event.final:
                    self._open_call = None
            case _:
                pass

    def _hear(self, event: TokenEvent | ToolCallEvent) -> None:
        self._state = fold(self._state, ((event, False),))
        self._heard[event.call_id if isinstance(event, TokenEvent) else event.tool_call_id] = event

    def heard(self) -> list[TokenEvent | ToolCallEvent]:
        """Return the latest word on each call: what has to be durable for the run to be metered."""
        return list(self._heard.values())

    def take_over(self, now_ms: int) -> None:
        """Say what the call that was open when the runner died has used, from what it sent."""
        call = self._open_call
        if call is not None:
            counted = tokens.count("".join(self._open_text), call.model)
            self._hear(self._word_on(call, counted, now_ms))

    def _word_on(self, call: CallStarted, output: int, now_ms: int) -> TokenEvent:
        return TokenEvent(
            **owner_of(self._lease),
            occurred_at_ms=now_ms,
            call_id=call.call_id,
            seq=_TAKEOVER_SEQ,
            model=call.model,
            input_uncached=call.input_tokens,
            output=output,
            source="partial",
        )

    @property
    def cost_micro(self) -> int:
        """What the run has cost so far; text that is not counted yet is guessed at by its length."""
        state, call = self._state, self._open_call
        if call is not None:
            written = sum(map(len, self._open_text)) // _CHARS_PER_TOKEN
            counted = state.calls.get(call.call_id) if state else None
            if counted is None or written > counted.output:
                state = fold(state, ((self._word_on(call, written, self._lease.started_at_ms), False),))
        return cost(state, self._book).micro if state else 0

    def finished_calls(self) -> Iterator[tuple[Call, int]]:
        """Yield the model calls that ended by themselves, with the input tokens nobody had counted before."""
        for call_id, call in self._state.calls.items() if self._state else ():
            if call.final and call.source != "partial":
                used = call.input_uncached + call.cache_read + call.cache_write
                yield call, used - self._counted.get(call_id, used)

    def event(self, status: RunStatus, now_ms: int, error_code: str = "") -> RunEvent:
        """Return the run's opening or closing event, with the totals so far."""
        return run_event(
            self._lease, status, now_ms, self._totals(), error_code=error_code, end_user=self._end_user
        )

    def answer(
        self, ended: Ended, closing: RunEvent, metadata: dict[str, str], *, last_output_limit: int
    ) -> Answer:
        """Return what the client is told. `last_output_limit`: the tokens the last model call might write."""
        failed = ended.status != "completed"
        calls = self._state.calls if self._state else {}
        written = calls[next(reversed(calls))].output if calls else 0
        return Answer(
            run_id=closing.run_id,
            status=closing.status,
            model=closing.model,
            output="".join(self._text),
            usage=Usage(
                tokens_in=closing.tokens_in,
                tokens_out=closing.tokens_out,
                tool_calls=closing.tool_calls,
                duration_ms=closing.duration_ms,
                credits=as_credits(closing.credits_micro),
            ),
            error=Failure(code=ended.error_code, detail=ended.detail) if failed else None,
            finish_reason="length" if not failed and written >= last_output_limit else "stop",
            citations=ended.citations,
            metadata=metadata,
        )

    def _totals(self) -> dict[str, int]:
        if self._state is None:
            return dict.fromkeys(COUNTERS, 0)
        charge = cost(self._state, self._book)
        return dict(zip(COUNTERS, totals_of(self._state, charge.micro), strict=True))
