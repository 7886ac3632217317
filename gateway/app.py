"""The gateway application: clients are built once, here, and reached through `app.state`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI
from redis.exceptions import RedisError

from gateway.access import AccessControl
from gateway.admission import AdmissionControl
from gateway.answers import AnswerStore
from gateway.endpoints import router
from gateway.execution import RunServices
from gateway.feedback import router as feedback_router
from gateway.history import CallHistory
from gateway.intake.endpoints import router as intake_router
from gateway.intake.service import Intake
from gateway.key_uses import KeyUses
from gateway.keys import KeyDirectory
from gateway.mcp.endpoints import router as mcp_router
from gateway.mcp.endpoints import session_manager
from gateway.openai.endpoints import router as openai_router
from gateway.runner_client import RunnerClient
from gateway.service import RunService
from gateway.widget.addresses import networks
from gateway.widget.blocked import OriginGuard
from gateway.widget.cors import PageCors
from gateway.widget.endpoints import router as widget_router
from gateway.widget.limits import WidgetLimits
from gateway.widget.script_endpoints import router as widget_script_router
from gateway.widget.secrets import SessionSecrets, configured
from gateway.widget.service import WidgetSessions
from kit import clock, http_app, redis_client, redis_clock, tokens
from kit.publisher import Publisher
from kit.service_tokens import ServiceTokens
from kit.settings import (
    GatewaySettings,
    IntakeSettings,
    KafkaSettings,
    RedisSettings,
    RunnerAccessSettings,
    SpoolSettings,
    WidgetSettings,
    load,
)
from kit.tasks import ended

_DRAIN_S = 5.0


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings, kafka = load(GatewaySettings), load(KafkaSettings)
    proxies = networks(settings.trusted_proxies)
    named = configured(settings.session_secrets.get_secret_value())
    tokens_shown = ServiceTokens(
        load(RunnerAccessSettings).service_tokens.get_secret_value(), "RUNMETER_RUNNER_SERVICE_TOKENS"
    )
    redis = await redis_client.opened(load(RedisSettings))
    publisher = Publisher(kafka, load(SpoolSettings), settings.spool_dir)
    runner = RunnerClient(
        settings.runner_url, tokens_shown, settings.run_timeout_ms, settings.max_concurrent_runs
    )
    keys = KeyDirectory(
        redis, kafka.partitions, settings.key_cache_ttl_ms, settings.key_stale_ttl_ms, clock.now_ms
    )
    shared = await redis_clock.opened(redis, clock.now_ms)
    services = RunServices(
        runner=runner,
        publisher=publisher,
        answers=AnswerStore(redis, settings.answer_ttl_s, shared),
        history=CallHistory(),
        clock=clock.now_ms,
        timeout_s=settings.run_timeout_ms / 1000,
    )
    runs = RunService(redis, services, AdmissionControl(redis, settings, shared), settings)
    uses, guard = KeyUses(redis, settings.key_uses_flush_ms, clock.now_ms), OriginGuard(redis, clock.now_ms)
    widget = load(WidgetSettings)
    sessions = WidgetSessions(
        keys,
        guard,
        SessionSecrets(redis, named, clock.now_ms),
        WidgetLimits(redis, widget, clock.now_ms),
        settings=widget,
        clock=clock.now_ms,
    )
    app.state.intake = Intake(redis, keys, publisher, load(IntakeSettings), clock.now_ms)
    app.state.settings, app.state.runs, app.state.sessions = settings, runs, sessions
    app.state.access, app.state.proxies = AccessControl(keys, guard, sessions, uses), proxies
    app.state.redis, app.state.publisher = redis, publisher
    tokens.encoding_for("")
    await publisher.start()
    background = [
        asyncio.create_task(forever)
        for forever in (
            keys.listen(),
            runs.limits.listen(),
            runs.listen_for_cancels(),
            runs.keep_leases(),
            runs.keep_answers(),
            shared.follow(),
            uses.run(),
        )
    ]
    app.state.mcp = session_manager(runs)
    try:
        async with app.state.mcp.run():
            yield
    finally:
        await runs.drain(_DRAIN_S)
        await ended(*background)
        await uses.flush()
        await publisher.stop()
        await runner.close()
        await redis.aclose()


def create_app() -> FastAPI:
    """Return the gateway. Its settings are read when it starts."""
    app = FastAPI(title="Runmeter gateway", version="1", lifespan=_lifespan)
    app.include_router(router)
    app.include_router(feedback_router)
    app.include_router(openai_router)
    app.include_router(intake_router)
    app.include_router(mcp_router)
    app.include_router(widget_router)
    app.include_router(widget_script_router)
    app.add_middleware(PageCors)

    async def readiness() -> dict[str, str]:
        problems = {}
        try:
            await app.state.redis.ping()
        except RedisError:
            problems["redis"] = "away: no run is admitted"
        if app.state.publisher.away:
            problems["kafka"] = f"away: {app.state.publisher.spooled_bytes} bytes of events are spooled"
        return problems

    http_app.install(app, readiness)
    return app
