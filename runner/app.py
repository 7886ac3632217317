"""The runner application: an internal HTTP service that only gateways call."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
from fastapi import FastAPI, Request, Response

from kit import clock, http_app, tokens
from kit.hot_routes import PlainRoute, StreamedResponse
from kit.problems import InvalidRequest, TooManyRequests
from kit.publisher import Publisher
from kit.settings import KafkaSettings, RunnerSettings, SpoolSettings, load
from runner.execution import Execution, RunnerServices
from runner.model import ModelClient
from schemas.runner import EXECUTE_PATH, ExecuteRequest, StepDecision, cancel_path, step_path

_DRAIN_S = 5.0
_decode = msgspec.json.Decoder(ExecuteRequest).decode
_decode_decision = msgspec.json.Decoder(StepDecision).decode


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = load(RunnerSettings)
    publisher = Publisher(load(KafkaSettings), load(SpoolSettings), settings.spool_dir)
    model = ModelClient(settings)
    app.state.services = RunnerServices(model, publisher, settings, clock.now_ms)
    app.state.executions = {}
    tokens.encoding_for("")
    await publisher.start()
    try:
        yield
    finally:
        await _drain(app.state.executions)
        await publisher.stop()
        await model.close()


async def _drain(executions: dict[str, Execution]) -> None:
    """Cancel what still runs and wait, bounded, until its usage is durable."""
    deadline = asyncio.get_running_loop().time() + _DRAIN_S
    while executions and asyncio.get_running_loop().time() < deadline:
        for execution in list(executions.values()):
            execution.cancel()
        await asyncio.sleep(0.05)


def create_app() -> FastAPI:
    """Return the runner. Its settings are read when it starts."""
    app = FastAPI(title="Runmeter runner", version="1", lifespan=_lifespan)

    async def execute(request: Request) -> Response:
        executions: dict[str, Execution] = app.state.executions
        services: RunnerServices = app.state.services
        if len(executions) >= services.settings.max_concurrent_runs:
            raise TooManyRequests("this runner is running as much as it can")
        try:
            order = _decode(await request.body())
        except msgspec.DecodeError as error:
            raise InvalidRequest(str(error)) from None
        execution = Execution(services, order)
        executions[order.run_id] = execution
        execution.start().add_done_callback(lambda _: executions.pop(order.run_id, None))
        return StreamedResponse(execution.lines(), media_type="application/x-ndjson")

    app.router.add_api_route(
        EXECUTE_PATH,
        execute,
        methods=["POST"],
        route_class_override=PlainRoute,
        summary="Execute a run, streaming its frames",
    )

    @app.post(step_path("{run_id}"), summary="Say whether a run may take the step it proposed")
    async def step(run_id: str, request: Request) -> dict[str, bool]:
        try:
            decision = _decode_decision(await request.body())
        except msgspec.DecodeError as error:
            raise InvalidRequest(str(error)) from None
        execution: Execution | None = app.state.executions.get(run_id)
        return {"found": execution is not None and execution.decide(decision)}

    @app.post(cancel_path("{run_id}"), summary="Cancel a run; its stream ends with what it used")
    async def cancel(run_id: str) -> dict[str, bool]:
        execution = app.state.executions.get(run_id)
        if execution is not None:
            execution.cancel()
        return {"found": execution is not None}

    async def readiness() -> dict[str, str]:
        publisher: Publisher = app.state.services.publisher
        return {"kafka": f"away: {publisher.spooled_bytes} bytes spooled"} if publisher.away else {}

    http_app.install(app, readiness)
    return app
