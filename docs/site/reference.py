"""The API reference: Markdown from the OpenAPI documents that the services serve themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
_METHODS = ("get", "post", "put", "patch", "delete")
_HIDDEN = {"operations"}


def pages() -> dict[str, str]:
    """Return the pages by path."""
    from console_api.app import Config  # noqa: PLC0415 - hundreds of modules, for a site alone
    from console_api.app import create_app as console_api  # noqa: PLC0415
    from gateway.app import create_app as gateway  # noqa: PLC0415

    return {
        "reference/gateway.md": page(
            gateway().openapi(), "The public API: what API keys and widgets may ask."
        ),
        "reference/console-api.md": page(console_api(Config.load()).openapi(), ""),
    }


def page(document: Json, lead: str) -> str:
    """Return a service's reference."""
    info = document["info"]
    text = f"# {info['title']}\n\n{lead or info.get('description', '')}\n\n"
    text += "The same, for programs, is at `/openapi.json`.\n\n"
    for tag, operations in _by_tag(document).items():
        text += f"## {tag}\n\n" + "".join(_operation(*operation) for operation in operations)
    schemas = document.get("components", {}).get("schemas", {})
    if schemas:
        text += "## Schemas\n\n" + "".join(_schema(name, schemas[name]) for name in sorted(schemas))
    return text


def _by_tag(document: Json) -> dict[str, list[tuple[str, str, Json]]]:
    found: dict[str, list[tuple[str, str, Json]]] = {}
    for path, operations in document["paths"].items():
        for method in _METHODS:
            if method in operations:
                tag = (operations[method].get("tags") or ["more"])[0]
                if tag not in _HIDDEN:
                    found.setdefault(tag, []).append((method, path, operations[method]))
    return found


def _operation(method: str, path: str, operation: Json) -> str:
    text = f"### `{method.upper()} {path}`\n\n{operation.get('summary', '')}.\n\n"
    if described := operation.get("description"):
        text += f"{described}\n\n"
    if parameters := operation.get("parameters"):
        text += "| parameter | in | type | |\n|---|---|---|---|\n"
        for one in parameters:
            needed = "required. " if one.get("required") else ""
            said = f"{needed}{one.get('description', '')}"
            text += f"| `{one['name']}` | {one['in']} | {_type(one.get('schema', {}))} | {_cell(said)} |\n"
        text += "\n"
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        text += f"Body, `{kind}`:\n\n{_body(content.get('schema', {}))}\n"
    text += "| status | answer |\n|---|---|\n"
    for status, answer in operation["responses"].items():
        kinds = [f"`{kind}` {_type(c.get('schema', {}))}" for kind, c in answer.get("content", {}).items()]
        text += f"| {status} | {_cell(' '.join([answer.get('description', ''), *kinds]))} |\n"
    return text + "\n"


def _body(schema: Json) -> str:
    if "properties" in schema:
        return "".join(_fields(schema))
    return f"{_type(schema)}\n"


def _schema(name: str, schema: Json) -> str:
    described = schema.get("description", "")
    text = f"### {name}\n\n" + (f"{described}\n\n" if described else "")
    return text + ("".join(_fields(schema)) if "properties" in schema else f"{_type(schema)}\n") + "\n"


def _fields(schema: Json) -> Iterator[str]:
    yield "| field | type | |\n|---|---|---|\n"
    for name, field in schema["properties"].items():
        needed = "required. " if name in schema.get("required", ()) else ""
        yield f"| `{name}` | {_type(field)} | {_cell(needed + _notes(field))} |\n"


def _notes(field: Json) -> str:
    said = str(field.get("description", ""))
    if "default" in field:
        said += f" Default `{json.dumps(field['default'])}`."
    bounds = {"minimum": "≥", "maximum": "≤", "minLength": "length ≥", "maxLength": "length ≤"}
    return " ".join([said, *[f"{word} {field[name]}" for name, word in bounds.items() if name in field]])


def _type(schema: Json) -> str:
    """Return a schema's type in a few words."""
    if reference := schema.get("$ref"):
        name = str(reference).rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})" if "/schemas/" in reference else name
    if values := schema.get("enum") or ([schema["const"]] if "const" in schema else []):
        return ", ".join(f"`{value}`" for value in values)
    if choices := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return " or ".join(_type(choice) for choice in choices)
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("title" if "properties" in schema else "type", "anything"))


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
