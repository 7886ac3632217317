"""SQL lives in files beside the feature that reads it."""

from __future__ import annotations

from pathlib import Path

from schemas.directory import InstanceRecord


def read(module_file: str, name: str) -> str:
    """Return `sql/<name>.sql` of the feature that `module_file` (`__file__`) belongs to."""
    return (Path(module_file).parent / "sql" / f"{name}.sql").read_text(encoding="utf-8")


def scope(instance: InstanceRecord) -> dict[str, object]:
    """Return the parameters that every read binds: whose rows these are."""
    return {
        "tenant_id": instance.tenant_id,
        "org_id": instance.org_id,
        "instance_id": instance.instance_id,
    }


def org_scope(tenant_id: str, org_id: str) -> dict[str, object]:
    """Return the parameters that every read about a whole org binds."""
    return {"tenant_id": tenant_id, "org_id": org_id}
