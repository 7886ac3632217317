"""From an OpenAPI 3 document to the few operations that an owner chose of it, small enough to keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple, TypeGuard
from urllib.parse import urljoin, urlsplit

import msgspec
from msgspec import Meta, Struct

from kit.connectors.port import BadSettings

Method = Literal["get", "post", "put", "patch", "delete"]
_METHODS = ("get", "post", "put", "patch", "delete")
_MAX_DEPTH = 12
_MAX_SCHEMAS = 400
_MAX_OPERATION_BYTES = 16_384
#: Parts of a schema that tell a model what to write; the rest (examples, links, extensions) is left out.
_TELLING = frozenset(
    {
        *("type", "format", "enum", "const", "description", "properties", "required", "items", "pattern"),
        *("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "nullable", "default"),
        *("oneOf", "anyOf", "allOf", "additionalProperties"),
    }
)


class Parameter(Struct, frozen=True):
    """A parameter in the path or the query."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    place: Literal["path", "query"]
    required: bool
    schema: dict[str, Any] = {}


class Operation(Struct, frozen=True):
    """One operation. `body` is the schema of its JSON body, `None` if it takes none."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]
    method: Method
    path: Annotated[str, Meta(pattern=r"^/[^?#\\]*$", max_length=500)]
    description: Annotated[str, Meta(max_length=1_000)] = ""
    parameters: Annotated[tuple[Parameter, ...], Meta(max_length=40)] = ()
    body: dict[str, Any] | None = None
    body_required: bool = False


def chosen(document: Mapping[str, Any], names: tuple[str, ...]) -> tuple[Operation, ...]:
    """Return the operations of these ids. Raises `BadSettings`."""
    if not str(document.get("openapi", "")).startswith("3."):
        raise BadSettings("`document` must be an OpenAPI 3 document, as JSON")
    found = dict(_operations(document))
    if lacking := [name for name in names if name not in found]:
        known = ", ".join(sorted(found)[:20]) or "none"
        raise BadSettings(f"the document has no operation {lacking[0]!r}; it has: {known}")
    made = []
    for name in names:
        operation = _operation(document, name, found[name])
        if len(msgspec.json.encode(operation)) > _MAX_OPERATION_BYTES:
            raise BadSettings(f"operation {name!r} is too large: at most {_MAX_OPERATION_BYTES} bytes")
        made.append(operation)
    return tuple(made)


def base_url(document: Mapping[str, Any], own: str) -> str:
    """Return where the operations are: the owner's word, else the document's first server."""
    servers = document.get("servers")
    first = servers[0].get("url", "") if isinstance(servers, list) and servers and _is_map(servers[0]) else ""
    url = own or str(first)
    parts = urlsplit(url)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or "{" in url
        or parts.query
        or parts.fragment
    ):
        raise BadSettings("give `base_url`: the document names no server by an address of its own")
    return url.rstrip("/")


class _Found(NamedTuple):
    """Where an operation stands in its document."""

    method: str
    path: str
    item: dict[str, Any]
    operation: dict[str, Any]


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, _Found]]:
    paths = document.get("paths")
    for path, item in paths.items() if _is_map(paths) else ():
        for method in _METHODS if _is_map(item) else ():
            operation = item.get(method)
            if _is_map(operation) and isinstance(operation.get("operationId"), str):
                yield operation["operationId"], _Found(method, path, item, operation)


def _operation(document: Mapping[str, Any], name: str, found: _Found) -> Operation:
    method, path, item, operation = found
    if any(_other_host(document, level.get("servers")) for level in (item, operation)):
        raise BadSettings(f"operation {name!r} is on another server than the document")
    schemas = _Schemas(document)
    listed = [
        _parameter(_resolved(document, each))
        for each in (*(item.get("parameters") or ()), *(operation.get("parameters") or ()))
    ]
    parameters = {each.name: each for each in listed if each is not None}
    body = _resolved(document, operation.get("requestBody") or {})
    content = body.get("content")
    json = content.get("application/json") if _is_map(content) else None
    if content and json is None:
        raise BadSettings(f"operation {name!r} takes no JSON body")
    plain = {
        "name": name,
        "method": method,
        "path": path,
        "description": str(operation.get("summary") or operation.get("description") or name)[:1_000],
        "parameters": [
            {**msgspec.to_builtins(each), "schema": schemas.plain(each.schema)}
            for each in parameters.values()
        ],
        "body": schemas.plain(json.get("schema") or {}) if _is_map(json) else None,
        "body_required": bool(body.get("required")),
    }
    try:
        return msgspec.convert(plain, Operation)
    except msgspec.ValidationError as error:
        raise BadSettings(f"operation {name!r}: {error}") from None


def _parameter(plain: Mapping[str, Any]) -> Parameter | None:
    # Headers and cookies are not the model's to write.
    if plain.get("in") not in ("path", "query") or not isinstance(plain.get("name"), str):
        return None
    place: Literal["path", "query"] = "path" if plain["in"] == "path" else "query"
    schema = {**(plain.get("schema") or {})}
    if plain.get("description"):
        schema.setdefault("description", str(plain["description"])[:300])
    return Parameter(plain["name"], place, place == "path" or bool(plain.get("required")), schema)


class _Schemas:
    """Schemas of one operation without references. Bounded: one that holds itself twice would never end."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._left = _MAX_SCHEMAS

    def plain(self, schema: Any, depth: int = 0) -> dict[str, Any]:
        """Return a schema; what goes on too deep may be anything. Raises `BadSettings`."""
        self._left -= 1
        if self._left < 0:
            raise BadSettings(f"an operation's schemas have more than {_MAX_SCHEMAS} parts")
        if depth > _MAX_DEPTH or not _is_map(schema):
            return {}
        resolved = _resolved(self._document, schema)
        return {key: self._part(key, value, depth) for key, value in resolved.items() if key in _TELLING}

    def _part(self, key: str, value: Any, depth: int) -> Any:
        match key:
            case "properties" if _is_map(value):
                return {name: self.plain(each, depth + 1) for name, each in value.items()}
            case "items" | "additionalProperties" if _is_map(value):
                return self.plain(value, depth + 1)
            case "oneOf" | "anyOf" | "allOf" if isinstance(value, list):
                return [self.plain(each, depth + 1) for each in value]
            case "description":
                return str(value)[:300]
        return value


def _resolved(document: Mapping[str, Any], node: Any) -> Mapping[str, Any]:
    """Follow references within the document. Raises `BadSettings` for any other."""
    for _ in range(_MAX_DEPTH):
        if not _is_map(node):
            return {}
        reference = node.get("$ref")
        if not isinstance(reference, str):
            return node
        if not reference.startswith("#/"):
            raise BadSettings("references to other documents are not followed; put everything into one")
        node = document
        for step in reference[2:].split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            node = node.get(name) if _is_map(node) else None
    return {}


def _other_host(document: Mapping[str, Any], servers: Any) -> bool:
    listed = servers if isinstance(servers, list) else []
    base = next(
        (str(s.get("url", "")) for s in document.get("servers") or () if _is_map(s)),
        "https://unnamed.invalid",
    )
    return any(
        urlsplit(urljoin(base, str(s.get("url", "")))).netloc != urlsplit(base).netloc
        for s in listed
        if _is_map(s)
    )


def _is_map(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)
