"""One run: a bounded loop of model calls and tool calls, metered as it goes.

The loop runs in a task of its own. Whatever ends it (the model, an error, a cancellation, a gateway that went
away) the open call is closed with what it used, and the last frame leaves only when every event is durable.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from kit import tokens
from kit.clock import Clock
from kit.publisher import Publisher
from kit.settings import RunnerSettings
from kit.spool import SpoolFull
from runner.call_meter import CallMeter
from runner.model import ModelClient, ModelFailed, ToolCallDelta
from runner.tools import Tool, ToolError, select, shortened
from schemas import topics
from schemas.events import TokenEvent, ToolCallEvent, ToolStatus, UsageSource, owner_of
from schemas.runner import (
    CallStarted,
    Delta,
    Ended,
    ExecuteRequest,
    Frame,
    StepDecision,
    StepProposed,
    ToolCallFinished,
    ToolCallStarted,
    UsageReported,
    encode_frame,
)

log = logging.getLogger(__name__)

_FRAMES = 1_024
#: How long text that nobody reads yet is gathered: what a runner that dies leaves unsaid at most.
_GATHER_S = 0.25
#: A tool's result as a message: its frame, and what a text cut off between words may count too many.
_TOKENS_PER_RESULT = 24
_UNDECIDED = StepDecision(
    proceed=False,
    status="failed",
    error_code="gateway_silent",
    detail="the next step was not decided in time",
)


class _StepRefused(Exception):
    """The gateway lets the run go no further."""

    def __init__(self, decision: StepDecision) -> None:
        super().__init__(decision.error_code)
        self.decision = decision


@dataclass
class _WrittenCall:
    """A tool call as the model writes it, piece by piece."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RunnerServices:
    """What every run needs."""

    model: ModelClient
    publisher: Publisher
    settings: RunnerSettings
    clock: Clock


class Execution:
    """A run being executed."""

    def __init__(self, services: RunnerServices, request: ExecuteRequest) -> None:
        self.request = request
        self._services = services
        self._settings = services.settings
        self._tools = select(request.tools)
        self._messages: list[dict[str, Any]] = [
            {"role": message.role, "content": message.content} for message in request.messages
        ]
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue(_FRAMES)
        self._publishing: list[asyncio.Task[None]] = []
        self._meter: CallMeter | None = None
        self._max_output_tokens = request.max_output_tokens
        self._decision: asyncio.Future[StepDecision] | None = None
        self._calls = 0
        self._tool_calls = 0
        self._abandoned = False
        self._gathered: list[str] = []
        self._gathering_since = 0.0
        self._work: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> asyncio.Task[None]:
        """Begin; the task ends when everything used is durable."""
        self._task = asyncio.create_task(self._drive())
        return self._task

    def cancel(self) -> None:
        """Stop the model and the tools; the run ends as `cancelled` with what it used."""
        if self._work is not None:
            self._work.cancel()

    def decide(self, decision: StepDecision) -> bool:
        """Hand over the gateway's word on the proposed step; return whether the run waits for one."""
        if self._decision is None or self._decision.done():
            return False
        self._decision.set_result(decision)
        return True

    def abandon(self) -> None:
        """Nobody reads the frames any more."""
        self._abandoned = True
        while not self._frames.empty():
            self._frames.get_nowait()
        self.cancel()

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield the frames as lines, as many at once as there are. A reader that leaves abandons the run."""
        try:
            while (frame := await self._frames.get()) is not None:
                lines = [encode_frame(frame)]
                ended = False
                while not self._frames.empty() and not ended:
                    following = self._frames.get_nowait()
                    ended = following is None
                    if following is not None:
                        lines.append(encode_frame(following))
                yield b"".join(lines)
                if ended:
                    return
        finally:
            if self._task is not None and not self._task.done():
                self.abandon()

    async def _drive(self) -> None:
        self._work = asyncio.create_task(self._loop())
        left = False
        try:
            await self._work
            ended = Ended(status="completed")
        except _StepRefused as refused:
            word = refused.decision
            ended = Ended(status=word.status, error_code=word.error_code, detail=word.detail)
        except ModelFailed as error:
            ended = Ended(status="failed", error_code=error.code, detail=str(error))
        except asyncio.CancelledError:
            ended, left = Ended(status="cancelled", error_code="cancelled"), True
        except Exception:
            log.exception("run failed", extra={"run_id": self.request.run_id})
            ended = Ended(status="failed", error_code="runner_error", detail="the run failed unexpectedly")
        await self._close_call("partial", left=left)
        try:
            await asyncio.gather(*self._publishing)
        except SpoolFull:
            log.warning("usage could not be recorded here", extra={"run_id": self.request.run_id})
            ended = msgspec.structs.replace(ended, recorded=False)
        await self._emit(ended)
        await self._emit(None)

    async def _loop(self) -> None:
        for step in range(self._settings.max_steps):
            written = await self._call_model(offer_tools=not self._is_last(step))
            if not written:
                return
            self._messages.append(_assistant_message(self._text_of_last_call, written))
            await self._propose(written)
            for call in written:
                self._messages.append(await self._call_tool(call))

    def _is_last(self, step: int) -> bool:
        # The last step may not ask for more tools: it has to answer.
        return step == self._settings.max_steps - 1 or self._tool_calls >= self._settings.max_tool_calls

    async def _propose(self, written: list[_WrittenCall]) -> None:
        """Ask the gateway for the tools and the next call. Raises `_StepRefused`."""
        model, results = self.request.model, len(written)
        definitions = msgspec.json.encode([tool.schema() for tool in self._tools.values()])
        input_tokens = (
            tokens.count_messages(self._messages, model)
            + tokens.count(definitions.decode(), model)
            + results * (self._settings.max_tool_result_tokens + _TOKENS_PER_RESULT)
        )
        self._decision = asyncio.get_running_loop().create_future()
        await self._emit(StepProposed(tools=tuple(_known_as(c) for c in written), input_tokens=input_tokens))
        decision = _UNDECIDED
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.step_timeout_ms / 1000):
                decision = await self._decision
        if not decision.proceed:
            raise _StepRefused(decision)
        self._max_output_tokens = decision.max_output_tokens

    async def _call_model(self, *, offer_tools: bool) -> list[_WrittenCall]:
        """Stream one answer to the client; return the tool calls the model asked for."""
        run = self.request
        self._calls += 1
        meter = self._meter = CallMeter(
            run,
            f"{run.run_id}-{self._calls}",
            tokens.count_messages(self._messages, run.model),
            self._settings,
            self._services.clock,
        )
        await self._emit(CallStarted(call_id=meter.call_id, model=run.model, input_tokens=meter.input_tokens))
        written: dict[int, _WrittenCall] = {}
        request = self._model_request(offer_tools)
        async for chunk in self._services.model.stream(request, meter.call_id, meter.asked):
            if chunk.usage is not None:
                meter.provider_said(chunk.usage)
            for choice in chunk.choices:
                if choice.delta.content:
                    meter.wrote(choice.delta.content)
                    await self._emit_text(choice.delta.content)
                for piece in choice.delta.tool_calls or ():
                    _write(written, piece, meter)
            if (report := meter.interim()) is not None:
                await self._report(report)
        self._text_of_last_call = meter.text
        await self._close_call("estimate")
        return [written[index] for index in sorted(written)] if offer_tools else []

    def _model_request(self, offer_tools: bool) -> dict[str, Any]:
        run = self.request
        request: dict[str, Any] = {
            "model": run.model,
            "messages": self._messages,
            "max_tokens": self._max_output_tokens,
        }
        if run.temperature is not None:
            request["temperature"] = run.temperature
        if self._tools and offer_tools:
            request["tools"] = [tool.schema() for tool in self._tools.values()]
        return request

    async def _call_tool(self, call: _WrittenCall) -> dict[str, Any]:
        """Call one tool and return its result as a message. A tool that fails tells the model so."""
        self._tool_calls += 1
        arguments = "".join(call.arguments)
        tool_call_id = f"{self.request.run_id}-t{self._tool_calls}"
        await self._emit(
            ToolCallStarted(tool_call_id=tool_call_id, tool=_known_as(call), arguments=arguments)
        )
        began = time.monotonic()
        status, result = await self._run_tool(self._tools.get(call.name), arguments)
        await self._report_tool(tool_call_id, _known_as(call), status, int((time.monotonic() - began) * 1000))
        result = shortened(result, self.request.model, self._settings.max_tool_result_tokens)
        return {"role": "tool", "tool_call_id": call.id, "content": result}

    async def _run_tool(self, tool: Tool | None, arguments: str) -> tuple[ToolStatus, str]:
        if tool is None or self._tool_calls > self._settings.max_tool_calls:
            return "error", "error: that tool is not available"
        try:
            async with asyncio.timeout(self._settings.tool_timeout_ms / 1000):
                return "ok", await tool.call(msgspec.json.decode(arguments or "{}", type=dict[str, Any]))
        except TimeoutError:
            return "timeout", "error: the tool took too long"
        except (ToolError, msgspec.DecodeError) as error:
            return "error", f"error: {error}"

    async def _close_call(self, source: UsageSource, *, left: bool = False) -> None:
        if self._meter is not None and not self._meter.closed:
            report = self._meter.close(source, left=left)
            if report is not None:
                await self._report(report)

    async def _report(self, event: TokenEvent) -> None:
        self._publish(topics.TOKENS, event)
        await self._emit(UsageReported(event=event))

    async def _report_tool(self, tool_call_id: str, name: str, status: ToolStatus, duration_ms: int) -> None:
        run = self.request
        event = ToolCallEvent(
            **owner_of(run),
            occurred_at_ms=self._services.clock(),
            tool_call_id=tool_call_id,
            tool=name,
            duration_ms=duration_ms,
            status=status,
        )
        self._publish(topics.TOOL_CALLS, event)
        await self._emit(ToolCallFinished(event=event))

    def _publish(self, topic: topics.Topic, event: TokenEvent | ToolCallEvent) -> None:
        publishing = self._services.publisher.publish(topic, self.request.org_id, event)
        self._publishing.append(asyncio.create_task(publishing))

    async def _emit_text(self, text: str) -> None:
        if self.request.streamed:
            await self._emit(Delta(text=text))
            return
        now = time.monotonic()
        if not self._gathered:
            self._gathering_since = now
        self._gathered.append(text)
        if now - self._gathering_since >= _GATHER_S:
            await self._emit_gathered()

    async def _emit_gathered(self) -> None:
        if self._gathered:
            text, self._gathered = "".join(self._gathered), []
            await self._emit(Delta(text=text))

    async def _emit(self, frame: Frame | None) -> None:
        if self._gathered:
            await self._emit_gathered()
        if self._abandoned:
            return
        with contextlib.suppress(asyncio.QueueFull):
            self._frames.put_nowait(frame)
            return
        await self._frames.put(frame)


def _known_as(call: _WrittenCall) -> str:
    """Return the name that a call is metered and paid by."""
    return call.name[:256] or "?"


def _write(written: dict[int, _WrittenCall], piece: ToolCallDelta, meter: CallMeter) -> None:
    call = written.setdefault(piece.index, _WrittenCall())
    call.id = piece.id or call.id
    if piece.function is not None:
        if piece.function.name:
            call.name = piece.function.name
            meter.wrote(piece.function.name, shown=False)
        if piece.function.arguments:
            call.arguments.append(piece.function.arguments)
            meter.wrote(piece.function.arguments, shown=False)


def _assistant_message(text: str, written: list[_WrittenCall]) -> dict[str, Any]:
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": "".join(call.arguments)},
        }
        for call in written
    ]
    return {"role": "assistant", "content": text or None, "tool_calls": calls}
