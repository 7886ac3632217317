"""Exporter processes, the file they read, and records for them to send."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from ledger_entries import NOW_MS, entry
from receivers import API_KEY, SECRET, TOKEN
from streams_rig import Rig
from waiting import eventually

from schemas.billing import BillingRecord
from schemas.topics import BILLING
from streams.billing.records import billed, derive

SECRETS = {"OM_TOKEN": TOKEN, "STRIPE_KEY": API_KEY, "HOOK_SECRET": SECRET, "S3_KEY": "testing"}
ORGS = 8


def records(tenant: str, prefix: str, runs: int, corrected: int = 0) -> list[BillingRecord]:
    """Return the records of so many runs, some of which were corrected to cost 100 less."""
    made: list[BillingRecord] = []
    for number in range(runs):
        whose = {"org_id": f"org-{number % ORGS}", "tenant_id": tenant}
        first = derive(None, entry(f"{prefix}-{number}", **whose), 2 * number, NOW_MS)
        assert first is not None
        made.append(first)
        if number < corrected:
            later = entry(f"{prefix}-{number}", 6, charged_micro=127, **whose)
            second = derive(billed(first), later, 2 * number + 1, NOW_MS + 1_000)
            assert second is not None
            made.append(second)
    return made


@dataclass
class Exporting:
    """One destination: its exporter, and what it is to have sent."""

    rig: Rig
    name: str
    tenant: str
    told: dict[str, Any]
    sent: dict[str, BillingRecord] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def file(self) -> Path:
        path = self.rig.folder / f"{self.name}.toml"
        content = {"tenants": [self.tenant], "flush_interval_ms": 20, **self.told}
        lines = [f"{key} = {_toml(value)}" for key, value in content.items()]
        path.write_text("\n".join([f"[destinations.{self.name}]", *lines, ""]))
        return path

    @property
    def env(self) -> dict[str, str]:
        return {
            "RUNMETER_EXPORTS_FILE": str(self.file),
            "RUNMETER_EXPORTS_RETRY_MIN_MS": "50",
            "RUNMETER_EXPORTS_RETRY_MAX_MS": "500",
            **SECRETS,
        }

    def start(self) -> None:
        """Start the exporter."""
        env = {**self.env, "RUNMETER_EXPORTS_DESTINATION": self.name}
        self.process = self.rig.start("streams.exports", self.name, **env)

    def kill(self) -> None:
        """End it with SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    async def feed(self, prefix: str, runs: int, corrected: int = 0) -> list[BillingRecord]:
        """Put records into the log."""
        made = records(self.tenant, f"{self.name}-{prefix}", runs, corrected)
        self.sent.update({record.record_id: record for record in made})
        await self.rig.send(BILLING, made)
        return made

    async def command(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run `runmeter exports …`."""
        env = {
            **os.environ,
            **self.env,
            "RUNMETER_KAFKA_BOOTSTRAP": self.rig.kafka.bootstrap,
            "RUNMETER_DATA_DIR": str(self.rig.folder),
        }
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "stack.cli", "exports", *args],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )

    async def status(self) -> dict[str, Any]:
        """Return what `runmeter exports status` says of this destination."""
        done = await self.command("status", "--json")
        assert done.stdout, done.stderr
        (found,) = json.loads(done.stdout)["destinations"]
        return dict(found)

    async def settled(self) -> dict[str, Any]:
        """Wait until nothing lags; return the status."""
        latest: dict[str, Any] = {}

        async def nothing_lags() -> bool:
            latest.update(await self.status())
            return bool(latest["lag"] == 0 and not latest["failing"])

        await eventually(nothing_lags, f"{self.name} has sent everything: {latest}")
        return latest


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    return json.dumps(value)


def plain(record: BillingRecord) -> dict[str, Any]:
    """Return a record as JSON has it."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(record))
    return found
