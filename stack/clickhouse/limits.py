"""The settings a query runs with: the server's defaults, the request's, and the caps on them."""

from __future__ import annotations

from stack.clickhouse import errors
from stack.clickhouse.config import ServerConfig
from stack.clickhouse.errors import QueryError
from stack.clickhouse.request import QueryRequest


def defaults(config: ServerConfig) -> dict[str, str]:
    """Return the settings every new session starts with."""
    # 26.9 collects inserts by default; here each is written at once, so that its answer means "stored".
    return {
        "async_insert": "0",
        "max_threads": str(config.max_threads),
        "max_execution_time": str(config.max_query_seconds),
        "max_memory_usage": str(config.max_memory_bytes),
    }


def settings(
    request: QueryRequest, config: ServerConfig, mark: str, kept: bool, blockwise: bool
) -> dict[str, str]:
    """Return what to SET before the query; `kept` says that its session has the defaults already.

    A SETTINGS clause within the SQL can go beyond the caps; the engine's own memory limit and the server's
    clock then still hold. Raises `QueryError` 36 for a cap that is not a number.
    """
    found = {**({} if kept else defaults(config)), **request.settings}
    caps: dict[str, float] = {
        "max_execution_time": config.max_query_seconds,
        "max_memory_usage": config.max_memory_bytes,
    }
    if not blockwise:
        caps["max_result_bytes"] = config.max_result_bytes
        found.setdefault("max_result_bytes", "0")
    found.update({name: _capped(name, found[name], cap) for name, cap in caps.items() if name in found})
    found["log_comment"] = f"{found.get('log_comment', '')} {mark}".lstrip()
    if request.readonly and not kept and found.get("readonly", "0") == "0":
        found["readonly"] = "2"
    return found


def _capped(name: str, value: str, most: float) -> str:
    """Return `value`, or `most` when it is larger or 0, which means unlimited."""
    try:
        number = float(value)
    except ValueError:
        raise QueryError(errors.BAD_ARGUMENTS, f"{name} must be a plain number") from None
    return value if 0 < number <= most else str(most)
