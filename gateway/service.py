"""What the gateway decides: who may run what, and where an answer comes from."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from functools import partial

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway import metrics, tool_calls
from gateway.admission import Admission, AdmissionControl
from gateway.answers import Answer, KeptAnswer
from gateway.cuts import LimitWatch
from gateway.errors import (
    Busy,
    LimitsUnavailable,
    MeteringUnavailable,
    RunInProgress,
    UnknownModel,
    UnknownRun,
)
from gateway.execution import Run, RunServices
from gateway.keys import Caller
from gateway.quotes import Quote
from gateway.requests import RunRequest
from gateway.reservation import Reservation
from gateway.runner_client import RunnerLost
from gateway.tool_calls import ToolCall
from kit import tokens, tracing
from kit.clock import new_id
from kit.settings import GatewaySettings
from kit.spool import SpoolFull
from schemas import keys, topics
from schemas.directory import RunLease
from schemas.events import Channel, owner_of
from schemas.runner import RULES_TOKENS, ExecuteRequest, Message, OfferedTool, ToolsRequest

log = logging.getLogger(__name__)

#: How long a repeated request waits for the first one's answer.
_REPEAT_WAIT_S = 30.0
_REPEAT_POLL_S = 0.1
_KEEP_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Order:
    """A validated request of a known caller. With a `call` no model is asked: the run is that one call."""

    caller: Caller
    request: RunRequest
    channel: Channel
    idempotency_key: str
    body: bytes
    call: ToolCall | None = None


class RunService:
    """Starts, finds and cancels runs. Raises the gateway's errors."""

    def __init__(
        self, redis: Redis, services: RunServices, admission: AdmissionControl, settings: GatewaySettings
    ) -> None:
        self._redis = redis
        self._services = services
        self._admission = admission
        self._settings = settings
        self._runs: dict[str, Run] = {}
        self.limits = LimitWatch(redis, self._runs)
        metrics.RUNS_IN_FLIGHT.set_function(lambda: len(self._runs))
        metrics.HELD_MICRO.set_function(self._held_micro)

    @property
    def in_flight(self) -> int:
        """Runs this gateway is working on."""
        return len(self._runs)

    def _held_micro(self) -> int:
        # In the scraper's thread: what is listed may change meanwhile.
        return sum(run.granted_micro for run in list(self._runs.values()))

    async def begin(self, order: Order) -> Run | Answer:
        """Admit and start a run, or return the answer an earlier request with the same key got."""
        if len(self._runs) >= self._settings.max_concurrent_runs:
            raise Busy("try again shortly", headers={"Retry-After": "1"})
        until = asyncio.get_running_loop().time() + _REPEAT_WAIT_S
        while True:
            begun = await self._admit(order)
            if isinstance(begun, Run):
                return begun
            answer = await self._repeat(order.caller, begun.run_id, until)
            if answer is not None:
                return answer
            # Whoever worked on the first request died: this one takes its place.

    async def _admit(self, order: Order) -> Run | Admission:
        """Start a run, or return that an earlier request made it."""
        lease, request = self._prepare(order)
        reservation = Reservation(
            self._admission, self._services.history, order.caller, request.max_output_tokens
        )
        quote = _quoted(order, request, reservation)
        if order.idempotency_key:
            await self._keep_waiting(order.caller)
        with tracing.span("admit") as current:
            admission = await self._admission.admit(
                order.caller, lease, quote, order.idempotency_key, order.body
            )
            current.set_attribute("outcome", admission.outcome)
        if admission.outcome == "repeat":
            return admission
        output = quote.output
        if admission.outcome == "unchecked":
            reservation.checked = False
        else:
            output = reservation.admitted(lease, quote, admission.held_micro)
        if order.call is None and output != request.max_output_tokens:
            request = msgspec.structs.replace(request, max_output_tokens=output)
        return self._start(order, lease, request, reservation, admission.headers)

    async def _keep_waiting(self, caller: Caller) -> None:
        """Let Redis know all answers of this gateway before it says whether a request is a repeated one."""
        try:
            await self._services.answers.keep_waiting()
        except RedisError as error:
            if not caller.instance.limits.fail_open:
                raise LimitsUnavailable(headers={"Retry-After": "2"}) from error

    def _start(
        self,
        order: Order,
        lease: RunLease,
        request: ExecuteRequest,
        reservation: Reservation,
        headers: dict[str, str],
    ) -> Run:
        source = None
        if order.call is not None:
            source = partial(
                tool_calls.frames, self._services.runner, request, order.call, self._services.clock
            )
        run = Run(
            self._services,
            order.caller,
            lease,
            request,
            reservation,
            end_user=order.request.end_user,
            metadata=order.request.metadata,
            headers=headers,
            source=source,
        )
        self._runs[lease.run_id] = run
        task = run.start(stream=order.request.stream)
        task.add_done_callback(lambda _: self._runs.pop(lease.run_id, None))
        return run

    async def connector_tools(self, caller: Caller) -> tuple[OfferedTool, ...]:
        """Return what the caller's instance can do in other systems; nothing while nobody can say."""
        key = caller.key
        if not caller.instance.connectors:
            return ()
        asked = ToolsRequest(tenant_id=key.tenant_id, org_id=key.org_id, instance_id=key.instance_id)
        try:
            return (await self._services.runner.tools(asked)).tools
        except RunnerLost as error:
            log.warning("connectors are away", extra={"instance_id": key.instance_id, "error": repr(error)})
            return ()

    def _prepare(self, order: Order) -> tuple[RunLease, ExecuteRequest]:
        instance, key = order.caller.instance, order.caller.key
        model = order.request.model or instance.default_model
        if model not in instance.models:
            raise UnknownModel(f"{model!r} is not among the instance's models", allowed=instance.models)
        lease = RunLease(
            tenant_id=key.tenant_id,
            org_id=key.org_id,
            instance_id=key.instance_id,
            run_id=new_id("run"),
            channel=order.channel,
            key_id=key.key_id,
            price_version=order.caller.book.version,
            started_at_ms=self._services.clock(),
            model=model,
            streamed=order.request.stream,
            visitor=order.caller.visitor,
        )
        system = (Message("system", instance.system_prompt),) if instance.system_prompt else ()
        wanted = order.request.max_tokens or instance.max_output_tokens
        return lease, ExecuteRequest(
            **owner_of(lease),
            model=model,
            messages=system + order.request.conversation(),
            tools=instance.tools,
            knowledge=instance.knowledge,
            connectors=instance.connectors,
            brand=instance.branding.title,
            voice=instance.branding.voice,
            conversation_id=order.request.conversation_id,
            visitor=order.caller.visitor,
            max_context_tokens=self._settings.max_context_tokens,
            max_output_tokens=min(wanted, instance.max_output_tokens),
            temperature=order.request.temperature,
            streamed=order.request.stream,
        )

    async def _repeat(self, caller: Caller, run_id: str, until: float) -> Answer | None:
        """Return the first request's answer once there is one, with its closing event durable; `None` when
        there will be none, because the gateway that worked on it died."""
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            if (kept := await self._kept(caller, run_id)) is not None:
                # Its gateway may have died between keeping the answer and closing the run.
                await self.publish_closing(kept)
                return kept.answer
            if not await self._is_owned(caller, run_id):
                return None
            await asyncio.sleep(_REPEAT_POLL_S)
        raise RunInProgress("repeat the request a little later", run_id=run_id, headers={"Retry-After": "5"})

    async def _is_owned(self, caller: Caller, run_id: str) -> bool:
        try:
            return await self._services.answers.is_owned(caller.partition, run_id)
        except RedisError as error:
            raise LimitsUnavailable(headers={"Retry-After": "2"}) from error

    async def publish_closing(self, kept: KeptAnswer) -> None:
        """Make a kept answer's closing event durable (again). Raises `MeteringUnavailable`."""
        try:
            await self._services.publisher.publish(topics.RUNS, kept.closing.org_id, kept.closing)
        except SpoolFull as error:
            raise MeteringUnavailable(headers={"Retry-After": "5"}) from error

    async def _kept(self, caller: Caller, run_id: str) -> KeptAnswer | None:
        try:
            kept = await self._services.answers.find(caller.partition, run_id)
        except RedisError as error:
            raise LimitsUnavailable(headers={"Retry-After": "2"}) from error
        return kept if kept is not None and caller.may_see(kept.closing, kept.visitor) else None

    async def find(self, caller: Caller, run_id: str) -> Answer | None:
        """Return a finished run's answer, `None` while it runs.

        Raises `UnknownRun`, `MeteringUnavailable`.
        """
        kept = await self._kept(caller, run_id)
        try:
            lease = await self._services.answers.lease(caller.partition, run_id)
        except RedisError as error:
            raise LimitsUnavailable(headers={"Retry-After": "2"}) from error
        if kept is not None:
            if lease is not None:
                # Not closed yet, and perhaps never told to be: an answer is shown only if it is metered.
                await self.publish_closing(kept)
            return kept.answer
        if lease is None or not caller.may_see(lease, lease.visitor):
            raise UnknownRun("check the run id; finished runs are kept for a day")
        return None

    async def cancel(self, caller: Caller, run_id: str) -> Answer | None:
        """Cancel a run wherever it executes; return its answer when it was over already."""
        answer = await self.find(caller, run_id)
        if answer is None:
            try:
                await self._redis.publish(keys.CANCEL_CHANNEL, run_id)
            except RedisError as error:
                raise LimitsUnavailable(headers={"Retry-After": "2"}) from error
        return answer

    async def listen_for_cancels(self) -> None:
        """Cancel this gateway's runs as they are named on the channel, for ever."""
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(keys.CANCEL_CHANNEL)
                    while True:
                        message = await pubsub.get_message(timeout=1.0)
                        run = self._runs.get(message["data"].decode()) if message else None
                        if run is not None:
                            run.cancel("cancelled_by_request")
            except RedisError as error:
                log.warning("cancellations are not heard", extra={"error": repr(error)})
                await asyncio.sleep(0.5)

    async def keep_leases(self) -> None:
        """Renew the leases of the runs in flight, for ever."""
        while True:
            await asyncio.sleep(self._settings.lease_ms / 3_000)
            if self._runs:
                with contextlib.suppress(RedisError):
                    await self._admission.renew([(r.partition, r.lease.run_id) for r in self._runs.values()])

    async def keep_answers(self) -> None:
        """Store the answers that Redis could not take, for ever."""
        while True:
            await asyncio.sleep(_KEEP_AGAIN_S)
            with contextlib.suppress(RedisError):
                await self._services.answers.keep_waiting()

    async def drain(self, timeout_s: float) -> None:
        """Cancel what still runs and wait, bounded, until it is closed."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while self._runs and asyncio.get_running_loop().time() < deadline:
            for run in list(self._runs.values()):
                run.cancel("gateway_shutdown")
            await asyncio.sleep(0.05)


def _quoted(order: Order, request: ExecuteRequest, reservation: Reservation) -> Quote:
    if order.call is not None:
        return tool_calls.quote_of(order.call, order.caller.book)
    counted = tokens.count_messages(
        [{"role": m.role, "content": m.content} for m in request.messages], request.model
    )
    return reservation.quote(request.model, counted + _added_tokens(request), request.tools)


def _added_tokens(request: ExecuteRequest) -> int:
    """Return the most tokens that the runner may put before the messages."""
    if not (request.knowledge or request.connectors or request.conversation_id):
        return 0
    context = request.max_context_tokens if request.knowledge or request.conversation_id else 0
    return context + RULES_TOKENS
