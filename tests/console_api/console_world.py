"""Writes projections, counters, wallets and rows as the control plane and the workers do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

import msgspec
from clickhouse_connect.driver.asyncclient import AsyncClient
from redis.asyncio import Redis

from kit.clock import new_id, now_ms
from kit.settings import KafkaSettings
from metering.settling import StoredWallet, fields_of, settle
from metering.windows import KEPT_S, start_of
from schemas import keys, rows
from schemas.directory import AccessTokenRecord, InstanceRecord, Role
from schemas.events import GrantEvent, LedgerEntry, RunSnapshot, encode
from schemas.partitioning import partition_of
from streams.warehouse import rollups

CREDIT = 1_000_000
RUNS_COLUMNS = tuple(rows.RUNS.columns)


@dataclass
class World:
    redis: Redis
    tenant_id: str
    org_id: str
    token: str
    instance_id: str
    wallet: StoredWallet | None = None

    @classmethod
    async def create(cls, redis: Redis, tenant_id: str | None = None) -> World:
        world = cls(redis, tenant_id or new_id("tenant"), new_id("org"), new_id("token"), "")
        await world.add_token(world.token, world.org_id)
        world.instance_id = await world.add_instance("Support agent")
        return world

    @property
    def partition(self) -> int:
        return partition_of(self.org_id, KafkaSettings().partitions)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def add_token(self, token: str, org_id: str, role: Role = "owner") -> None:
        record = AccessTokenRecord(
            subject="ada@example.com", tenant_id=self.tenant_id, org_id=org_id, role=role
        )
        await self.redis.set(keys.access_token(sha256(token.encode()).hexdigest()), encode(record))

    async def revoke_token(self) -> None:
        await self.redis.delete(keys.access_token(sha256(self.token.encode()).hexdigest()))

    async def add_instance(self, name: str, **fields: object) -> str:
        record = InstanceRecord(
            instance_id=new_id("inst"),
            tenant_id=self.tenant_id,
            org_id=self.org_id,
            name=name,
            status="active",
            default_model="gpt-4o-mini",
            models=("gpt-4o-mini", "gpt-4o"),
            created_at_ms=now_ms(),
            **fields,  # type: ignore[arg-type]
        )
        await self.redis.set(keys.instance(record.instance_id), encode(record))
        await self.redis.sadd(keys.org_instances(self.org_id), record.instance_id)
        return record.instance_id

    async def count(self, started_at_ms: int | None = None, instance_id: str = "", **deltas: int) -> None:
        """Add to the counters of the windows that a start falls in, and to the wallet, atomically."""
        at_ms = now_ms() if started_at_ms is None else started_at_ms
        instance_id = instance_id or self.instance_id
        pipeline = self.redis.pipeline(transaction=True)
        for window in (None, *KEPT_S):
            key = (
                keys.counter(self.partition, instance_id, window, start_of(window, at_ms))
                if window
                else keys.counter(self.partition, instance_id)
            )
            for name, value in deltas.items():
                pipeline.hincrby(key, name, value)
            if window:
                pipeline.expire(key, KEPT_S[window])
        if charged := deltas.get("charged"):
            pipeline.hincrby(keys.wallet(self.partition, self.org_id), "balance", -charged)
            pipeline.hincrby(keys.wallet(self.partition, self.org_id), "charged", charged)
        await pipeline.execute()

    async def grant(self, micro: int) -> None:
        key = keys.wallet(self.partition, self.org_id)
        await self.redis.hincrby(key, "balance", micro)
        await self.redis.hincrby(key, "granted", micro)

    async def settle(self, *commands: GrantEvent, charged: int = 0, at_ms: int = 0) -> list[LedgerEntry]:
        """Bring the wallet to a moment, apply commands and charge, as the metering worker does.

        Return what the ledger is to say about it; of the charge, that is for the run to say.
        """
        before = self.wallet or StoredWallet(self.tenant_id)
        settled = settle(self.org_id, before, commands, charged, at_ms or now_ms())
        self.wallet = settled.stored
        fields = fields_of(settled.stored)
        pipeline = self.redis.pipeline(transaction=True)
        pipeline.hset(
            keys.wallet(self.partition, self.org_id),
            mapping=dict(zip(fields[::2], fields[1::2], strict=True)),
        )
        pipeline.set(keys.wallet_state(self.partition, self.org_id), msgspec.msgpack.encode(settled.stored))
        await pipeline.execute()
        return settled.entries

    def issue(self, grant_id: str, credits: int, **fields: object) -> GrantEvent:
        """Return a command that gives so many whole credits; `fields` override."""
        defaults: dict[str, object] = {
            "grant_id": grant_id,
            "tenant_id": self.tenant_id,
            "org_id": self.org_id,
            "kind": "purchase",
            "amount_micro": credits * CREDIT,
            "occurred_at_ms": now_ms(),
        }
        return GrantEvent(**{**defaults, **fields})  # type: ignore[arg-type]

    async def hold(self, run_id: str, micro: int) -> None:
        await self.redis.hset(keys.holds(self.partition, self.org_id), run_id, str(micro))

    async def store(self, clickhouse: AsyncClient, *snapshots: RunSnapshot) -> None:
        """Insert versions of runs as the warehouse worker does."""
        recorded_at = datetime.now(UTC)
        rows = [
            {
                **{name: getattr(snapshot, name) for name in snapshot.__struct_fields__},
                "tenant_id": self.tenant_id,
                "org_id": self.org_id,
                "started_at": _moment(snapshot.started_at_ms),
                "closed_at": _moment(snapshot.closed_at_ms),
                "recorded_at": recorded_at,
                "_topic": "credits.ledger",
                "_partition": self.partition,
                "_offset": 0,
            }
            for snapshot in snapshots
        ]
        names = [name for name in rows[0] if name not in ("started_at_ms", "closed_at_ms")]
        await clickhouse.insert("runs", [[row[name] for name in names] for row in rows], column_names=names)
        full = [[row.get(name) for name in RUNS_COLUMNS] for row in rows]
        async for _ in rollups.refresh(clickhouse, rollups.touched(full)):
            pass

    async def record(self, clickhouse: AsyncClient, *entries: LedgerEntry, recorded_at_ms: int = 0) -> None:
        """Insert versions of ledger entries as the warehouse worker does."""
        extra = {
            "recorded_at": _moment(recorded_at_ms or now_ms()),
            "_topic": "credits.ledger",
            "_partition": self.partition,
            "_offset": 0,
        }
        names = list(rows.LEDGER.columns)
        values = [
            {**msgspec.structs.asdict(entry), "occurred_at": _moment(entry.occurred_at_ms), **extra}
            for entry in entries
        ]
        await clickhouse.insert("ledger", [[row[name] for name in names] for row in values], names)

    def entry(self, entry_id: str, micro: int, **fields: object) -> LedgerEntry:
        """Return the usage of a run of this org, with its id; `fields` override."""
        defaults: dict[str, object] = {
            "entry_id": entry_id,
            "version": 1,
            "kind": "usage",
            "tenant_id": self.tenant_id,
            "org_id": self.org_id,
            "amount_micro": micro,
            "account": "usage",
            "occurred_at_ms": now_ms(),
            "reference_id": entry_id,
            "price_version": "v1",
        }
        return LedgerEntry(**{**defaults, **fields})  # type: ignore[arg-type]

    def run(self, **fields: object) -> RunSnapshot:
        """Return a completed run of this world's instance; `fields` override."""
        at_ms = now_ms()
        defaults: dict[str, object] = {
            "instance_id": self.instance_id,
            "run_id": new_id("run"),
            "version": 2,
            "status": "completed",
            "channel": "api",
            "key_id": "key_1",
            "model": "gpt-4o-mini",
            "started_at_ms": at_ms,
            "closed_at_ms": at_ms + 900,
            "duration_ms": 900,
            "tokens_in": 100,
            "tokens_out": 50,
            "input_uncached": 80,
            "cache_read": 20,
            "model_calls": 1,
            "tool_calls": 1,
            "charged_micro": 250_000,
            "price_version": "v1",
        }
        return RunSnapshot(**{**defaults, **fields})  # type: ignore[arg-type]


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
