"""A gateway, its runner and the local model as processes of their own, and what they leave on Kafka."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from containers import PATIENT, SERVICE_TOKEN, free_ports, redis_at
from gateway_log import PARTITIONS, EventLog, until
from multidict import CIMultiDictProxy
from redis.asyncio import Redis
from waiting import PATIENCE_S

from kit import api_keys, clock, redis_client
from kit.settings import KafkaSettings
from metering.price_schedule import PriceSchedule
from metering.prices import MICRO_PER_CREDIT, PriceBook
from schemas import keys
from schemas.directory import ApiKeyRecord, InstanceRecord, KeyKind, Limits
from schemas.partitioning import partition_of
from stack import seed
from stack.access import demo_access

#: What gateways show runners.
SERVICE_HEADER = {"Authorization": f"Bearer {SERVICE_TOKEN}"}


class Service:
    """One process of ours, with its output in a file."""

    def __init__(self, module: str, folder: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self._module = module
        self._log = folder / f"{module}-{port}.log"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, environment: dict[str, str], *arguments: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNMETER_")}
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self._module,
                *arguments,
                env={**kept, **environment},
                stdout=log,
                stderr=log,
            )
        async with aiohttp.ClientSession() as http:

            async def healthy() -> bool:
                assert self._process is not None
                assert self._process.returncode is None, self.log()
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(f"{self.url}/healthz") as response:
                        return response.status == 200
                return False

            await until(healthy, f"{self._module} answers")

    def log(self) -> str:
        return self._log.read_text()

    async def kill(self) -> None:
        """kill -9."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()


@dataclass(frozen=True)
class Tenant:
    """One instance with its key."""

    org_id: str
    instance: InstanceRecord
    key: str
    key_record: ApiKeyRecord

    @property
    def instance_id(self) -> str:
        return self.instance.instance_id

    @property
    def partition(self) -> int:
        return partition_of(self.org_id, PARTITIONS)

    @property
    def headers(self) -> dict[str, str]:
        return {"X-API-Key": self.key}


@dataclass
class Answered:
    """One HTTP answer, read to its end."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


def micro(credits: str) -> int:
    """Return a decimal string of credits in micro-credits."""
    return int(credits.replace(".", ""))


@dataclass(frozen=True)
class Event:
    name: str
    data: Any


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[Event]:
    """Yield a response's server-sent events."""
    name = ""
    async for line in response.content:
        text = line.decode().rstrip("\n")
        if text.startswith("event: "):
            name = text[7:]
        elif text.startswith("data: "):
            yield Event(name, msgspec.json.decode(text[6:]))


class Plane:
    """Starts processes against one Kafka and one Redis, makes tenants, and asks."""

    def __init__(self, folder: Path, bootstrap: str, redis_url: str, redis: Redis) -> None:
        self.folder, self.bootstrap, self.redis_url, self.redis = folder, bootstrap, redis_url, redis
        self.log = EventLog(bootstrap)
        self.http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=PATIENCE_S)
        )
        self.book: PriceBook
        self.tenant_id = ""
        self._services: list[Service] = []

    async def provider(self, time_scale: float) -> Service:
        service = self._new("stack.provider")
        await service.start({}, "--port", str(service.port), "--time-scale", str(time_scale))
        return service

    async def runner(self, provider: Service, **settings: str) -> Service:
        service = self._new("runner")
        await service.start(self.environment(service, "RUNNER", provider, settings))
        return service

    async def gateway(self, runner: Service, **settings: str) -> Service:
        service = self._new("gateway")
        await service.start(self.environment(service, "GATEWAY", runner, settings))
        return service

    def _new(self, module: str) -> Service:
        service = Service(module, self.folder, free_ports("one")["one"])
        self._services.append(service)
        return service

    def environment(
        self, service: Service, kind: str, upstream: Service, settings: dict[str, str]
    ) -> dict[str, str]:
        address = f"{upstream.url}/v1" if kind == "RUNNER" else upstream.url
        # One with an address of its own is about to be away.
        name = "RUNMETER_REDIS_TIMEOUT_MS"
        waits = {} if "REDIS_URL" in settings else {name: PATIENT[name]}
        return {
            **waits,
            "RUNMETER_KAFKA_BOOTSTRAP": self.bootstrap,
            "RUNMETER_REDIS_URL": self.redis_url,
            "RUNMETER_RUNNER_SERVICE_TOKENS": SERVICE_TOKEN,
            f"RUNMETER_{kind}_PORT": str(service.port),
            f"RUNMETER_{kind}_SPOOL_DIR": str(self.folder / f"spool-{service.port}"),
            f"RUNMETER_{kind}_{'MODEL_BASE_URL' if kind == 'RUNNER' else 'RUNNER_URL'}": address,
            **{f"RUNMETER_{name}": value for name, value in settings.items()},
        }

    async def close(self) -> None:
        await self.http.close()
        await asyncio.gather(*(service.stop() for service in self._services))
        await self.log.stop()

    async def tenant(
        self,
        *,
        credits_micro: int = 100_000 * MICRO_PER_CREDIT,
        kind: KeyKind = "secret",
        status: str = "active",
        tools: tuple[str, ...] = ("calculator", "current_time"),
        limits: Limits | None = None,
        tenant_id: str = "",
        instance_fields: dict[str, Any] | None = None,
        **key_fields: Any,
    ) -> Tenant:
        """Return a new org with one instance, one key and credits, as projections hold them."""
        org_id, minted = clock.new_id("org"), api_keys.mint("sk")
        instance = InstanceRecord(
            instance_id=clock.new_id("inst"),
            tenant_id=tenant_id or self.tenant_id,
            org_id=org_id,
            name="Support agent",
            status=status,  # type: ignore[arg-type]
            default_model="gpt-4o-mini",
            models=("gpt-4o-mini", "gpt-4o"),
            system_prompt="You are a support agent. Answer briefly.",
            tools=tools,
            max_output_tokens=4_096,
            limits=limits or Limits(),
            **(instance_fields or {}),
        )
        record = ApiKeyRecord(
            key_id=minted.key_id,
            kind=kind,
            tenant_id=tenant_id or self.tenant_id,
            org_id=org_id,
            instance_id=instance.instance_id,
            **key_fields,
        )
        made = Tenant(org_id, instance, minted.key, record)
        self.log.orgs.add(org_id)
        await self.redis.set(keys.instance(instance.instance_id), msgspec.json.encode(instance))
        await self.redis.set(keys.api_key(minted.digest), msgspec.json.encode(record))
        await self.redis.hset(keys.wallet(made.partition, org_id), "balance", str(credits_micro))
        return made

    async def held(self, tenant: Tenant) -> dict[str, int]:
        """Return what each of the org's runs holds; it adds up to what the wallet says."""
        holds = await self.redis.hgetall(keys.holds(tenant.partition, tenant.org_id))
        total = int(await self.redis.hget(keys.wallet(tenant.partition, tenant.org_id), "held") or 0)
        assert sum(map(int, holds.values())) == total
        return {run_id.decode(): int(micro) for run_id, micro in holds.items()}

    async def leave(self, tenant: Tenant, credits_micro: int) -> None:
        """Leave the wallet so much that is not held."""
        balance = sum((await self.held(tenant)).values()) + credits_micro
        await self.redis.hset(keys.wallet(tenant.partition, tenant.org_id), "balance", str(balance))

    async def ask(
        self,
        gateway: Service,
        tenant: Tenant,
        text: str = "What are your opening hours?",
        *,
        headers: dict[str, str] | None = None,
        **body: Any,
    ) -> Answered:
        return await self.post(
            gateway, "/v1/runs", json={"input": text, **body}, headers={**tenant.headers, **(headers or {})}
        )

    async def post(self, gateway: Service, path: str, **request: Any) -> Answered:
        async with self.http.post(gateway.url + path, **request) as response:
            return Answered(response.status, response.headers, await response.read())

    async def get(self, gateway: Service, path: str, **request: Any) -> Answered:
        async with self.http.get(gateway.url + path, **request) as response:
            return Answered(response.status, response.headers, await response.read())

    @contextlib.asynccontextmanager
    async def streaming(
        self, gateway: Service, tenant: Tenant, text: str, headers: dict[str, str] | None = None, **body: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        async with self.http.post(
            f"{gateway.url}/v1/runs",
            json={"input": text, "stream": True, **body},
            headers={**tenant.headers, **(headers or {})},
        ) as response:
            yield response

    async def streamed(self, gateway: Service, tenant: Tenant, text: str, **body: Any) -> list[Event]:
        """Return all events of a streamed run."""
        async with self.streaming(gateway, tenant, text, **body) as response:
            assert response.status == 200
            return [event async for event in events(response)]

    async def served(self, provider: Service, run_id: str) -> list[dict[str, Any]]:
        """Return what the provider really generated for a run, call by call."""
        rows: list[dict[str, Any]] = (await self.get(provider, "/admin/usage")).json
        return [row for row in rows if row["request_id"].startswith(f"{run_id}-")]


@contextlib.asynccontextmanager
async def open_plane(folder: Path, bootstrap: str, redis_url: str) -> AsyncIterator[Plane]:
    """Seed the stores; yield a plane without processes, and stop those it was asked for."""
    kafka_settings, redis_settings = KafkaSettings(bootstrap=bootstrap), redis_at(redis_url)
    demo = demo_access(folder)
    await seed.write(demo, redis_settings, kafka_settings, folder)
    redis = redis_client.connect(redis_settings)
    plane = Plane(folder, bootstrap, redis_url, redis)
    plane.tenant_id = demo.tenant_id
    schedule = msgspec.json.decode(await redis.get(keys.price_schedule(demo.tenant_id)), type=PriceSchedule)
    [entry] = schedule.entries
    plane.book = msgspec.json.decode(await redis.get(keys.price_book(entry.version)), type=PriceBook)
    await plane.log.start()
    try:
        yield plane
    finally:
        await plane.close()
        await redis.aclose()


def assert_problem(answer: Answered, status: int, code: str) -> Any:
    """Assert an RFC 9457 problem and return it."""
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json
    assert problem["code"] == code
    assert problem["status"] == status
    assert problem["type"] == f"urn:runmeter:problem:{code}"
    assert problem["title"]
    assert problem["detail"]
    return problem
