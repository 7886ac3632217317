"""Which installation is tested: `ENV=local|qa|prod` picks a file of `environments`; variables override it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent / "environments"


@dataclass(frozen=True)
class Target:
    """Where it answers, who signs in, and what may be done to it."""

    name: str
    base_url: str
    cp_url: str
    gateway_url: str
    may_buy: bool
    token: str = ""
    user: str = ""
    password: str = ""
    #: Addresses of names that no name server knows, such as those of an installation that is not live yet.
    hosts: Mapping[str, str] = field(default_factory=dict)


def load(name: str, environ: Mapping[str, str]) -> Target:
    """Return the installation of that name. Raises `SystemExit` naming what is missing."""
    path = FOLDER / f"{name}.env"
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.env")))
        raise SystemExit(f"ENV={name}: there is no {path.name}; known are {known}")
    values = {**_read(path), **{key: value for key, value in environ.items() if key.startswith("E2E_")}}
    missing = [key for key in ("E2E_BASE_URL", "E2E_CP_URL", "E2E_GATEWAY_URL") if not values.get(key)]
    if missing:
        raise SystemExit(f"ENV={name}: set {', '.join(missing)}")
    return Target(
        name=name,
        base_url=values["E2E_BASE_URL"].rstrip("/"),
        cp_url=values["E2E_CP_URL"].rstrip("/"),
        gateway_url=values["E2E_GATEWAY_URL"].rstrip("/"),
        may_buy=values.get("E2E_MAY_BUY", "").lower() == "true",
        token=environ.get("E2E_TOKEN", ""),
        user=environ.get("E2E_USER", ""),
        password=environ.get("E2E_PASSWORD", ""),
        hosts=dict(pair.split("=", 1) for pair in environ.get("E2E_HOSTS", "").split(",") if "=" in pair),
    )


def current() -> Target:
    """Return the installation that `ENV` names; `local` by default."""
    return load(os.environ.get("ENV", "local"), os.environ)


def _read(path: Path) -> dict[str, str]:
    lines = [line.strip() for line in path.read_text().splitlines()]
    pairs = [line.split("=", 1) for line in lines if line and not line.startswith("#") and "=" in line]
    return {key.strip(): value.strip() for key, value in pairs}
