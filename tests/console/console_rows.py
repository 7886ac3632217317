"""Rows of an instance as they are after a while, written straight into the control plane's tables."""

from __future__ import annotations

from console_rig import Rig

from console_api.database.tables import ApiKey, KnowledgeSource
from kit.clock import new_id, now_ms


def _owned(shop: Rig, instance_id: str) -> dict[str, object]:
    return {
        "tenant_id": shop.control.tenant_id,
        "org_id": shop.control.org_id,
        "instance_id": instance_id,
        "created_by": "test",
        "created_at_ms": now_ms(),
    }


def key_row(shop: Rig, instance_id: str, name: str, **fields: object) -> ApiKey:
    made: dict[str, object] = {
        "key_id": new_id("key"),
        "digest": new_id("digest"),
        "kind": "secret",
        "name": name,
        "scopes": ("runs:write",),
        "allowed_origins": (),
    }
    return ApiKey(**{**_owned(shop, instance_id), **made, **fields})


def source_row(shop: Rig, instance_id: str, **fields: object) -> KnowledgeSource:
    made: dict[str, object] = {
        "source_id": new_id("source"),
        "kind": "upload",
        "title": "A document",
        "status": "ready",
        "page_errors": (),
        "updated_at_ms": now_ms(),
    }
    return KnowledgeSource(**{**_owned(shop, instance_id), **made, **fields})
