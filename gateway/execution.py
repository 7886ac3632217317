"""One run, from admission to its closing event.

A run is driven by a task of its own, not by the request: a client that goes away cancels the run, but cannot
keep it from being closed and metered. Order of effects at the end, and what a crash in each gap costs:
  1. the runner's usage events are durable (it says so with its last frame; if not, or if it died, the
                                  gateway publishes what it heard)
  2. the answer is kept         — crash after: whoever repeats the request or asks for the run, at the latest
                                  the reaper, finds the answer and publishes its closing event
  3. the closing event is durable
  4. the client gets the answer — crash before: the client repeats the request and gets the same answer
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial

from gateway import metrics
from gateway.account import RunAccount
from gateway.answers import Answer, AnswerStore, KeptAnswer
from gateway.history import CallHistory
from gateway.keys import Caller
from gateway.reservation import Reservation
from gateway.runner_client import RunnerClient, RunnerLost
from kit import logs, tracing
from kit.clock import Clock
from kit.publisher import Publisher
from kit.spool import SpoolFull
from schemas import topics
from schemas.directory import RunLease
from schemas.events import RunEvent, RunStatus, TokenEvent
from schemas.runner import Ended, ExecuteRequest, Frame, StepProposed

log = logging.getLogger(__name__)

#: Frames a slow client may lag behind before the run waits for it, and how long it is waited for.
_CLIENT_FRAMES = 512
_CLIENT_PATIENCE_S = 30.0
#: How long a cancelled run may take to report what it used.
_CANCEL_GRACE_S = 3.0


@dataclass(frozen=True, slots=True)
class RunServices:
    """What every run needs."""

    runner: RunnerClient
    publisher: Publisher
    answers: AnswerStore
    history: CallHistory
    clock: Clock
    timeout_s: float


class Run:
    """A run in flight."""

    def __init__(
        self,
        services: RunServices,
        caller: Caller,
        lease: RunLease,
        request: ExecuteRequest,
        reservation: Reservation,
        *,
        end_user: str = "",
        metadata: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        source: Callable[[], AsyncIterator[Frame]] | None = None,
    ) -> None:
        """`headers` go with the answer, whatever it is. `source`: where its frames come from, if not from the
        runner's execution of `request`."""
        limits = caller.instance.limits
        self.lease = lease
        self.partition = caller.partition
        self.overage_micro = limits.overage_micro if limits.soft else 0
        self.headers = headers or {}
        self._reservation = reservation
        self._services = services
        self._request = request
        self._source = source or (lambda: services.runner.execute(request))
        self._metadata = metadata or {}
        self._account = RunAccount(lease, caller.book, end_user)
        self._cancel_reason = ""
        self._cancel_status: RunStatus = "cancelled"
        self._deadline: asyncio.Timeout | None = None
        self._over = False
        #: The most tokens that the model call in progress may write.
        self._output_limit = request.max_output_tokens
        self._frames: asyncio.Queue[Frame | None] | None = None
        self._task: asyncio.Task[Answer] | None = None

    def start(self, *, stream: bool) -> asyncio.Task[Answer]:
        """Begin to run; the task ends when the run is closed and metered. With `stream`, read `frames`."""
        if stream:
            self._frames = asyncio.Queue(_CLIENT_FRAMES)
        self._task = asyncio.create_task(self._drive())
        self._task.add_done_callback(partial(_log_failure, self.lease.run_id))
        return self._task

    async def answer(self) -> Answer:
        """Wait until the run is closed and metered. Raises `SpoolFull` when it could not be metered."""
        if self._task is None:
            raise RuntimeError("the run was not started")
        return await asyncio.shield(self._task)

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield the runner's frames as they come, until the run is closed."""
        while self._frames is not None and (frame := await self._frames.get()) is not None:
            yield frame

    @property
    def cost_micro(self) -> int:
        """What the run has cost so far."""
        return self._account.cost_micro

    @property
    def granted_micro(self) -> int:
        """All that was ever reserved for the run."""
        return self._reservation.granted_micro

    def cancel(self, reason: str) -> None:
        """End the run early; it is closed as `cancelled` with what it used."""
        self._end_early(reason, "cancelled")

    def cut(self, reason: str) -> bool:
        """End the run because it may not be paid; it is closed as `limit_exceeded` with what it used.

        Returns whether it was this that ends it.
        """
        return self._end_early(reason, "limit_exceeded")

    def _end_early(self, reason: str, status: RunStatus) -> bool:
        if self._cancel_reason or self._over or (self._deadline is not None and self._deadline.expired()):
            return False
        self._cancel_reason, self._cancel_status = reason, status
        if self._deadline is None:
            return True  # it has not begun, and will not
        loop = asyncio.get_running_loop()
        self._deadline.reschedule(loop.time() + _CANCEL_GRACE_S)
        self._asking = loop.create_task(self._services.runner.cancel(self.lease.run_id))
        return True

    async def _drive(self) -> Answer:
        lease = self.lease
        logs.about_run(lease.run_id)
        named = {"run_id": lease.run_id, "instance_id": lease.instance_id, "channel": lease.channel}
        with tracing.span("run", attributes={**named, "gen_ai.request.model": lease.model}) as current:
            answer = await self._driven()
            current.set_attribute("run.status", answer.status)
            return answer

    async def _driven(self) -> Answer:
        opening = asyncio.create_task(self._publish(self._account.event("started", self.lease.started_at_ms)))
        try:
            ended = await self._execute()
            self._learn()
            closing = self._account.event(ended.status, self._services.clock(), ended.error_code)
            answer = self._account.answer(
                ended, closing, self._metadata, last_output_limit=self._output_limit
            )
            await self._keep(answer, closing)
            await asyncio.gather(opening, self._publish(closing))
            metrics.ENDED[ended.status].inc()
            metrics.RUN_SECONDS.observe(max(0, self._services.clock() - self.lease.started_at_ms) / 1000)
            return answer
        except SpoolFull:
            metrics.UNMETERED.inc()
            raise
        finally:
            opening.cancel()
            self._end_frames()

    async def _execute(self) -> Ended:
        if self._cancel_reason:
            self._over = True
            return self._as_cancelled(Ended(status="failed"))
        try:
            async with asyncio.timeout(self._services.timeout_s) as self._deadline:
                async for frame in self._source():
                    self._account.take(frame)
                    if isinstance(frame, Ended):
                        if not frame.recorded:
                            await self._record()
                        return self._as_cancelled(frame)
                    if isinstance(frame, StepProposed):
                        await self._decide(frame)
                    else:
                        await self._offer(frame)
            error: Exception = RunnerLost("the stream broke off")
        except (RunnerLost, TimeoutError) as caught:
            error = caught
        finally:
            # What has ended cannot be cancelled, nor its deadline be moved.
            self._over = True
        log.warning("runner lost", extra={"run_id": self.lease.run_id, "error": repr(error)})
        self._account.take_over(self._services.clock())
        await self._record()
        code = "run_timeout" if isinstance(error, TimeoutError) else "runner_lost"
        return self._as_cancelled(
            Ended(status="failed", error_code=code, detail="the run broke off; try again")
        )

    async def _record(self) -> None:
        """Make what the runner reported durable in its place; said twice, it counts once."""
        publish = self._services.publisher.publish
        await asyncio.gather(
            *[
                publish(
                    topics.TOKENS if isinstance(event, TokenEvent) else topics.TOOL_CALLS,
                    self.lease.org_id,
                    event,
                )
                for event in self._account.heard()
            ]
        )

    async def _decide(self, step: StepProposed) -> None:
        """Reserve the credits of a run's next step, and tell the runner, which waits."""
        decision = await self._reservation.extend(self.lease, step, self._account.cost_micro)
        if decision.proceed:
            self._output_limit = decision.max_output_tokens
        await self._services.runner.decide(self.lease.run_id, decision)

    def _learn(self) -> None:
        history, instance_id, request = self._services.history, self.lease.instance_id, self._request
        for call, excess in self._account.finished_calls():
            if call.source == "provider":
                history.learn_excess(instance_id, call.model, len(request.tools), excess)
            # An answer that ran into its limit says nothing of how long it would have been.
            if not self._reservation.shortened and call.output < request.max_output_tokens:
                history.learn_output(instance_id, call.output)

    def _as_cancelled(self, ended: Ended) -> Ended:
        if not self._cancel_reason or ended.status == "completed":
            return ended
        detail = "the run was cancelled" if self._cancel_status == "cancelled" else "the credits ran out"
        return Ended(status=self._cancel_status, error_code=self._cancel_reason, detail=detail)

    async def _offer(self, frame: Frame) -> None:
        """Hand a frame to the client's stream; a client that does not read cancels its run."""
        if self._frames is None or self._cancel_reason:
            return
        if not self._frames.full():
            self._frames.put_nowait(frame)
            return
        try:
            async with asyncio.timeout(_CLIENT_PATIENCE_S):
                await self._frames.put(frame)
        except TimeoutError:
            self.cancel("client_too_slow")

    def _end_frames(self) -> None:
        """Let the client's stream end, however full it is and whether or not anyone still reads it."""
        if self._frames is not None:
            if self._frames.full():
                self._frames.get_nowait()
            self._frames.put_nowait(None)

    async def _keep(self, answer: Answer, closing: RunEvent) -> None:
        kept = KeptAnswer(answer=answer, closing=closing, visitor=self.lease.visitor)
        # Only repeating the request needs it: without Redis the run is still metered and answered.
        await self._services.answers.keep(self.partition, kept)

    async def _publish(self, event: RunEvent) -> None:
        await self._services.publisher.publish(topics.RUNS, self.lease.org_id, event)


def _log_failure(run_id: str, task: asyncio.Task[Answer]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a run could not be metered", exc_info=error, extra={"run_id": run_id})
