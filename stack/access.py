"""What opens the demo: ids and plain keys, the same after a restart.

They are kept in `<data>/demo.json`, readable by its owner only.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from kit import api_keys, clock

#: The page that the demo's widgets are embedded in.
DEMO_ORIGIN = "http://localhost:8000"


class DemoInstance(Struct, frozen=True, kw_only=True):
    """One purchased agent, with the keys that open it."""

    instance_id: str
    name: str
    default_model: str
    api_key: str
    widget_key: str


class DemoAccess(Struct, frozen=True, kw_only=True):
    """Development credentials; `instance_id`, `api_key` and `widget_key` are the first instance's."""

    tenant_id: str
    org_id: str
    instance_id: str
    api_key: str
    widget_key: str
    admin_token: str
    instances: tuple[DemoInstance, ...]


def demo_access(data_dir: Path) -> DemoAccess:
    """Return the data folder's demo credentials, made on first use."""
    path = data_dir / "demo.json"
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=DemoAccess)
    instances = tuple(
        DemoInstance(
            instance_id=clock.new_id("inst"),
            name=name,
            default_model=model,
            api_key=api_keys.mint("sk").key,
            widget_key=api_keys.mint("wk").key,
        )
        for name, model in (
            ("Support agent", "gpt-4o-mini"),
            ("Research assistant", "gpt-4.1"),
            ("Sales concierge", "claude-sonnet-4-5"),
        )
    )
    made = DemoAccess(
        tenant_id="tenant_demo",
        org_id=clock.new_id("org"),
        instance_id=instances[0].instance_id,
        api_key=instances[0].api_key,
        widget_key=instances[0].widget_key,
        admin_token=api_keys.mint("at").key,
        instances=instances,
    )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(made)))
    return made
