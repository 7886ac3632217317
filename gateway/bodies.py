"""Request bodies, with a bound."""

from __future__ import annotations

from fastapi import Request

from kit.problems import BodyTooLarge


async def read(request: Request, limit: int) -> bytes:
    """Return the body. Raises `BodyTooLarge`, before reading it where its length is declared."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise BodyTooLarge(f"send at most {limit} bytes")
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge(f"send at most {limit} bytes")
        chunks.append(chunk)
    return b"".join(chunks)
