"""What a look found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from msgspec import Struct

from kit.settings import ClickHouseSettings, KafkaSettings, RedisSettings

#: `warning`: it works, and will not for long, or not as it should. `problem`: it does not.
Level = Literal["ok", "warning", "problem"]


class Finding(Struct, frozen=True):
    """One thing looked at. `remedy` is empty only where all is well."""

    check: str
    level: Level
    said: str
    remedy: str = ""


def ok(check: str, said: str) -> Finding:
    return Finding(check, "ok", said)


def warning(check: str, said: str, remedy: str) -> Finding:
    return Finding(check, "warning", said, remedy)


def problem(check: str, said: str, remedy: str) -> Finding:
    return Finding(check, "problem", said, remedy)


@dataclass(frozen=True)
class Place:
    """Where to look: a running stack, or what the environment says."""

    data_dir: Path
    kafka: KafkaSettings
    redis: RedisSettings
    clickhouse: ClickHouseSettings
    model_url: str
    issuer_url: str
    #: Of a running stack: part → port; empty where none runs here.
    ports: dict[str, int]
