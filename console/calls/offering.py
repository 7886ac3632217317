"""Products and plans as operators write them: read with their ETag, changed in part, sent back whole."""

from __future__ import annotations

from typing import Any

from console.api import Call
from console.visitor import Visitor, part

#: What a plan or product carries beyond its terms.
_NOT_TERMS = ("code", "plan_id", "product_id", "version")


async def terms(visitor: Visitor, kind: str, code: str) -> tuple[dict[str, Any], str]:
    """Return the terms of one of the `products` or `plans`, and their ETag."""
    found, etag = await visitor.versioned(f"/{kind}/{part(code)}", dict[str, Any])
    return {name: value for name, value in found.items() if name not in _NOT_TERMS}, etag


async def put(visitor: Visitor, kind: str, code: str, wanted: dict[str, Any], etag: str) -> None:
    """Write terms; an empty ETag only makes what is not there. Raises `Stale`."""
    headers = {"If-Match": etag} if etag else {"If-None-Match": "*"}
    await visitor.call(Call("PUT", f"/{kind}/{part(code)}", body=wanted, headers=headers))
