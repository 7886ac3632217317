"""What may change in an event version after it was frozen: optional fields may be added, nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from schemas import events
from schemas.topics import Topic

FROZEN = Path(events.__file__).parent / "frozen"
#: Words for readers; all others decide what is valid, or what an absent field means.
_PROSE = {"title", "description", "examples"}

Schema = dict[str, Any]


def schema_file(topic: Topic) -> Path:
    """Return where a topic's frozen schema stands."""
    return FROZEN / f"{topic.name}.v{events.EVENT_VERSION}.schema.json"


def examples_of(topic: Topic) -> list[Schema]:
    """Return a topic's frozen examples."""
    path = FROZEN / f"{topic.name}.v{events.EVENT_VERSION}.examples.json"
    found: list[Schema] = json.loads(path.read_text())
    return found


def live_schema(topic: Topic) -> Schema:
    """Return the JSON Schema of the struct as the code has it now."""
    return msgspec.json.schema(topic.event)


def breaks(frozen: Schema, live: Schema) -> list[str]:
    """Return what `live` does to readers or writers of `frozen`; empty when it only adds optional fields."""
    return list(_compare(_inlined(frozen, frozen), _inlined(live, live), "$"))


def _inlined(node: Any, root: Schema) -> Any:
    if isinstance(node, list):
        return [_inlined(item, root) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inlined(root["$defs"][node["$ref"].rsplit("/", 1)[-1]], root)
    return {name: _inlined(value, root) for name, value in node.items() if name != "$defs"}


def _compare(frozen: Any, live: Any, at: str) -> Iterator[str]:
    if isinstance(frozen, list) and isinstance(live, list) and len(frozen) == len(live):
        for index, (old, new) in enumerate(zip(frozen, live, strict=True)):
            yield from _compare(old, new, f"{at}[{index}]")
    elif isinstance(frozen, dict) and isinstance(live, dict):
        yield from _compare_nodes(frozen, live, at)
    elif type(frozen) is not type(live) or frozen != live:
        yield f"{at}: {frozen!r} became {live!r}"


def _compare_nodes(frozen: Schema, live: Schema, at: str) -> Iterator[str]:
    old_fields, new_fields = frozen.get("properties", {}), live.get("properties", {})
    for name in old_fields.keys() - new_fields.keys():
        yield f"{at}.{name}: the field is gone"
    for name in old_fields.keys() & new_fields.keys():
        yield from _compare(old_fields[name], new_fields[name], f"{at}.{name}")
    for name in set(frozen.get("required", ())) ^ set(live.get("required", ())):
        yield f"{at}.{name}: it is required in one of the two"
    for word in (frozen.keys() | live.keys()) - _PROSE - {"properties", "required"}:
        if word not in frozen or word not in live:
            yield f"{at}: {word!r} stands in one of the two"
        else:
            yield from _compare(frozen[word], live[word], f"{at}:{word}")
