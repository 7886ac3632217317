"""The runner application: an internal HTTP service that only gateways call."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
from fastapi import FastAPI, Request, Response
from redis.asyncio import Redis

from kit import clock, embeddings, http_app, redis_client, tokens, vectors
from kit.connectors.outbound import Outbound
from kit.hot_routes import PlainRoute, StreamedResponse
from kit.problems import InvalidRequest, TooManyRequests, Unavailable
from kit.publisher import Publisher
from kit.seal import load_seal
from kit.service_tokens import ServiceTokens
from kit.settings import (
    ClickHouseSettings,
    ConnectorSettings,
    ConversationSettings,
    EmbeddingSettings,
    KafkaSettings,
    KnowledgeSettings,
    RedisSettings,
    RunnerAccessSettings,
    RunnerSettings,
    SecretsSettings,
    SpoolSettings,
    StackSettings,
    load,
)
from runner import direct_tools, metrics
from runner.access import OnlyServices
from runner.connectors.loading import Connectors
from runner.execution import Execution, RunnerServices
from runner.memory import Memory
from runner.model import ModelClient, endpoints
from runner.preparing import Sources
from runner.retrieval import KnowledgeAway, Retrieval, Whose
from runner.transcript import Transcript
from schemas.runner import (
    EXECUTE_PATH,
    SEARCH_PATH,
    ExecuteRequest,
    SearchAnswer,
    SearchRequest,
    StepDecision,
    cancel_path,
    step_path,
)

_DRAIN_S = 5.0
_decode = msgspec.json.Decoder(ExecuteRequest).decode
_decode_decision = msgspec.json.Decoder(StepDecision).decode
_decode_search = msgspec.json.Decoder(SearchRequest).decode


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = load(RunnerSettings)
    app.state.service_tokens = ServiceTokens(
        load(RunnerAccessSettings).service_tokens.get_secret_value(), "RUNMETER_RUNNER_SERVICE_TOKENS"
    )
    publisher = Publisher(load(KafkaSettings), load(SpoolSettings), settings.spool_dir)
    models = tuple(ModelClient(settings, endpoint) for endpoint in endpoints(settings))
    redis = redis_client.connect(load(RedisSettings))
    sources = _sources(settings, redis)
    transcript = Transcript(publisher, load(ConversationSettings), clock.now_ms)
    app.state.services = RunnerServices(models, publisher, settings, clock.now_ms, sources, transcript)
    app.state.executions = {}
    metrics.IN_FLIGHT.set_function(lambda: len(app.state.executions))
    tokens.encoding_for("")
    await publisher.start()
    try:
        yield
    finally:
        await _drain(app.state.executions)
        await publisher.stop()
        for model in models:
            await model.close()
        await sources.retrieval.close()
        await redis.aclose()


def _sources(settings: RunnerSettings, redis: Redis) -> Sources:
    """Everything is connected to when it is first needed: most runs need none of it."""
    return Sources(
        Retrieval(
            vectors.connect(load(KnowledgeSettings), load(ClickHouseSettings)),
            embeddings.connect(load(EmbeddingSettings)),
            settings.retrieval_timeout_ms / 1000,
        ),
        Memory(redis, settings),
        Connectors(
            redis,
            load_seal(load(SecretsSettings), load(StackSettings).data_dir),
            Outbound(load(ConnectorSettings)),
        ),
        settings.retrieval_passages,
    )


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

    @app.post(SEARCH_PATH, summary="Search what an instance knows")
    async def search(request: Request) -> Response:
        services: RunnerServices = app.state.services
        try:
            asked = _decode_search(await request.body())
        except msgspec.DecodeError as error:
            raise InvalidRequest(str(error)) from None
        whose = Whose(asked.tenant_id, asked.instance_id)
        try:
            found = await services.sources.retrieval.search(whose, asked.query, asked.limit)
        except KnowledgeAway as error:
            raise Unavailable(str(error), headers={"Retry-After": "5"}) from error
        answer = SearchAnswer(passages=tuple(found))
        return Response(msgspec.json.encode(answer), media_type="application/json")

    direct_tools.install(app)

    async def readiness() -> dict[str, str]:
        publisher: Publisher = app.state.services.publisher
        return {"kafka": f"away: {publisher.spooled_bytes} bytes spooled"} if publisher.away else {}

    app.add_middleware(OnlyServices)
    http_app.install(app, readiness)
    return app
