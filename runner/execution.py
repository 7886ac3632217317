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
from dataclasses import dataclass
from typing import Any

import msgspec

from kit import logs, tokens, tracing
from kit.clock import Clock
from kit.publisher import Publisher
from kit.settings import RunnerSettings
from kit.spool import SpoolFull
from runner import metrics
from runner.call_meter import CallMeter
from runner.model import ModelClient, ModelFailed
from runner.outlet import Outlet
from runner.preparing import Prepared, Sources, prepare
from runner.prompt import FENCE_TOKENS, fenced, nonce_of, question_of
from runner.retrieval import citations
from runner.tools import Tool, ToolError, shortened
from runner.transcript import Transcript
from runner.writing import WrittenCall, assistant_message, write
from schemas import topics
from schemas.events import TokenEvent, ToolCallEvent, ToolStatus, UsageSource, owner_of
from schemas.runner import (
    CallStarted,
    Ended,
    ExecuteRequest,
    StepDecision,
    StepProposed,
    ToolCallFinished,
    ToolCallStarted,
    UsageReported,
)

log = logging.getLogger(__name__)

#: A tool's result as a message: its frame, and what a text cut off between words may count too many.
_TOKENS_PER_RESULT = 24 + FENCE_TOKENS
_UNDECIDED = StepDecision(
    proceed=False,
    status="failed",
    error_code="gateway_silent",
    detail="the next step was not decided in time",
)


_OUT_OF_TIME = "the run took longer than one may; ask for less at once"


class _OutOfTime(Exception):
    """The run took longer than one may."""


class _StepRefused(Exception):
    """The gateway lets the run go no further."""

    def __init__(self, decision: StepDecision) -> None:
        super().__init__(decision.error_code)
        self.decision = decision


@dataclass(frozen=True, slots=True)
class RunnerServices:
    """What every run needs."""

    #: In the order they are asked.
    models: tuple[ModelClient, ...]
    publisher: Publisher
    settings: RunnerSettings
    clock: Clock
    sources: Sources
    transcript: Transcript


class Execution:
    """A run being executed."""

    def __init__(self, services: RunnerServices, request: ExecuteRequest) -> None:
        self.request = request
        self._services = services
        self._settings = services.settings
        self._prepared = Prepared()
        self._outlet = Outlet(streamed=request.streamed)
        self._said: list[str] = []
        self._used_tokens = 0
        self._publishing: list[asyncio.Task[None]] = []
        self._meter: CallMeter | None = None
        self._max_output_tokens = request.max_output_tokens
        self._decision: asyncio.Future[StepDecision] | None = None
        self._calls = 0
        self._ended = False
        self._tool_calls = 0
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
        self._outlet.abandon()
        self.cancel()

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield the frames as lines. A reader that leaves abandons the run."""
        try:
            async for lines in self._outlet.lines():
                yield lines
        finally:
            if self._task is not None and not self._task.done() and not self._ended:
                self.abandon()

    async def _drive(self) -> None:
        run = self.request
        logs.about_run(run.run_id)
        with tracing.span("execute", attributes={"run_id": run.run_id, "instance_id": run.instance_id}):
            await self._driven()

    async def _driven(self) -> None:
        self._work = asyncio.create_task(self._bounded())
        left = False
        try:
            await self._work
            ended = Ended(status="completed")
        except _StepRefused as refused:
            word = refused.decision
            ended = Ended(status=word.status, error_code=word.error_code, detail=word.detail)
        except ModelFailed as error:
            log.warning("the model failed", extra={"code": error.code})
            ended = Ended(status="failed", error_code=error.code, detail=str(error))
        except _OutOfTime:
            ended, left = Ended(status="failed", error_code="run_timeout", detail=_OUT_OF_TIME), True
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
        ended = await self._remembered(ended)
        self._ended = True
        await self._outlet.send(ended)
        await self._outlet.end()
        await self._services.transcript.record(self.request, "".join(self._said), ended)

    async def _remembered(self, ended: Ended) -> Ended:
        """Return the last frame with what the answer rests on, the turn being remembered."""
        answer = "".join(self._said)
        if ended.status == "completed":
            await self._services.sources.memory.add(self.request, question_of(self.request), answer)
        return msgspec.structs.replace(ended, citations=citations(self._prepared.passages, answer))

    async def _bounded(self) -> None:
        deadline = asyncio.timeout(self._settings.max_run_seconds or None)
        try:
            async with deadline:
                self._prepared = await prepare(self.request, self._services.sources)
                await self._loop()
        except TimeoutError:
            raise (_OutOfTime if deadline.expired() else ModelFailed("upstream_timeout", "")) from None

    async def _loop(self) -> None:
        for step in range(self._settings.max_steps):
            written = await self._call_model(offer_tools=not self._is_last(step))
            if not written:
                return
            self._prepared.messages.append(assistant_message(self._text_of_last_call, written))
            await self._propose(written)
            for call in written:
                self._prepared.messages.append(await self._call_tool(call))

    def _is_last(self, step: int) -> bool:
        # The last step may not ask for more tools: it has to answer.
        return step == self._settings.max_steps - 1 or self._tool_calls >= self._settings.max_tool_calls

    async def _propose(self, written: list[WrittenCall]) -> None:
        """Ask the gateway for the tools and the next call. Raises `_StepRefused`."""
        model, results = self.request.model, len(written)
        definitions = msgspec.json.encode([tool.schema() for tool in self._prepared.tools.values()])
        input_tokens = (
            tokens.count_messages(self._prepared.messages, model)
            + tokens.count(definitions.decode(), model)
            + results * (self._settings.max_tool_result_tokens + _TOKENS_PER_RESULT)
        )
        self._decision = asyncio.get_running_loop().create_future()
        await self._outlet.send(
            StepProposed(tools=tuple(c.known_as for c in written), input_tokens=input_tokens)
        )
        decision = _UNDECIDED
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.step_timeout_ms / 1000):
                decision = await self._decision
        if not decision.proceed:
            raise _StepRefused(decision)
        self._max_output_tokens = decision.max_output_tokens

    async def _call_model(self, *, offer_tools: bool) -> list[WrittenCall]:
        """Stream one answer to the client; return the tool calls the model asked for.

        An endpoint that fails before it has said anything used nothing that it told us of: its call is not
        charged, and the next endpoint is asked by a call of its own.
        """
        *others, last = self._services.models
        for model in others:
            try:
                return await self._attempt(model, offer_tools=offer_tools)
            except ModelFailed as error:
                if error.is_ours or (self._meter is not None and self._meter.begun):
                    raise
                await self._close_call("partial")
                log.warning("asking another model", extra={"run_id": self.request.run_id, "code": error.code})
        return await self._attempt(last, offer_tools=offer_tools)

    async def _attempt(self, model: ModelClient, *, offer_tools: bool) -> list[WrittenCall]:
        name = model.model_for(self.request.model)
        asked: dict[str, tracing.Value] = {"gen_ai.operation.name": "chat", "gen_ai.request.model": name}
        with (
            metrics.model_call(),
            tracing.span(f"chat {name}", tracing.SpanKind.CLIENT, asked) as current,
        ):
            written = await self._asked(model, name, offer_tools=offer_tools)
            if self._meter is not None:
                current.set_attribute("gen_ai.usage.output_tokens", self._meter.output)
            return written

    async def _asked(self, model: ModelClient, name: str, *, offer_tools: bool) -> list[WrittenCall]:
        run = self.request
        self._calls += 1
        counted = tokens.count_messages(self._prepared.messages, name)
        self._check_tokens(counted)
        call = CallStarted(call_id=f"{run.run_id}-{self._calls}", model=name, input_tokens=counted)
        meter = self._meter = CallMeter(run, call, self._settings, self._services.clock)
        await self._outlet.send(call)
        written: dict[int, WrittenCall] = {}
        request = self._model_request(name, offer_tools)
        silent_since: float | None = time.monotonic()
        async for chunk in model.stream(request, meter.call_id, meter.asked):
            if silent_since is not None:
                metrics.FIRST_CHUNK_SECONDS.observe(time.monotonic() - silent_since)
                silent_since = None
            if chunk.usage is not None:
                meter.provider_said(chunk.usage)
            for choice in chunk.choices:
                if choice.delta.content:
                    meter.wrote(choice.delta.content)
                    self._said.append(choice.delta.content)
                    await self._outlet.text(choice.delta.content)
                for piece in choice.delta.tool_calls or ():
                    write(written, piece, meter)
            if (report := meter.interim()) is not None:
                await self._report(report)
        self._text_of_last_call = meter.text
        await self._close_call("estimate")
        return [written[index] for index in sorted(written)] if offer_tools else []

    def _check_tokens(self, counted: int) -> None:
        """Raise `ModelFailed` if the call could take the run beyond its tokens."""
        most = self._settings.max_run_tokens
        if most and self._used_tokens + counted + self._max_output_tokens > most:
            raise ModelFailed("run_token_limit", f"the run would take more than {most} tokens; ask for less")

    def _model_request(self, model: str, offer_tools: bool) -> dict[str, Any]:
        run = self.request
        request: dict[str, Any] = {
            "model": model,
            "messages": self._prepared.messages,
            "max_tokens": self._max_output_tokens,
        }
        if run.temperature is not None:
            request["temperature"] = run.temperature
        if self._prepared.tools and offer_tools:
            request["tools"] = [tool.schema() for tool in self._prepared.tools.values()]
        return request

    async def _call_tool(self, call: WrittenCall) -> dict[str, Any]:
        """Call one tool and return its result as a message. A tool that fails tells the model so."""
        self._tool_calls += 1
        arguments = "".join(call.arguments)
        tool_call_id = f"{self.request.run_id}-t{self._tool_calls}"
        await self._outlet.send(
            ToolCallStarted(tool_call_id=tool_call_id, tool=call.known_as, arguments=arguments)
        )
        began = time.monotonic()
        tool = self._prepared.tools.get(call.name)
        with tracing.span("execute_tool", attributes={"gen_ai.tool.name": call.known_as}) as current:
            status, result = await self._run_tool(tool, arguments)
            current.set_attribute("tool.status", status)
        metrics.TOOL_CALLS[status].inc()
        await self._report_tool(tool_call_id, call.known_as, status, int((time.monotonic() - began) * 1000))
        result = shortened(result, self.request.model, self._settings.max_tool_result_tokens)
        if tool is not None and not tool.trusted:
            result = fenced("tool_result", result, nonce_of(self.request.run_id))
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
        except Exception:
            # A tool's bug costs its run that tool, and nothing else.
            log.exception("a tool failed", extra={"run_id": self.request.run_id, "tool": tool.name})
            return "error", "error: the tool failed"

    async def _close_call(self, source: UsageSource, *, left: bool = False) -> None:
        if self._meter is not None and not self._meter.closed:
            report = self._meter.close(source, left=left)
            if report is not None:
                self._used_tokens += self._meter.used
                await self._report(report)

    async def _report(self, event: TokenEvent) -> None:
        self._publish(topics.TOKENS, event)
        await self._outlet.send(UsageReported(event=event))

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
        await self._outlet.send(ToolCallFinished(event=event))

    def _publish(self, topic: topics.Topic, event: TokenEvent | ToolCallEvent) -> None:
        publishing = self._services.publisher.publish(topic, self.request.org_id, event)
        self._publishing.append(asyncio.create_task(publishing))
