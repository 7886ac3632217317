"""A form made from a JSON Schema's properties: text, numbers, choices, switches, lists; the rest as JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from console.components.fields import choice, number_field, switch, text_field

Schema = dict[str, Any]


class Incomplete(ValueError):
    """A field is missing or cannot be read; the message names it."""


class SchemaForm:
    """Fields of an object. `kept`: it is set already, and a form left as it was drawn keeps it.

    Of what is `secret`, and of what the API keeps in another shape than it takes, nothing is shown then.
    """

    def __init__(
        self, schema: Schema, values: dict[str, Any], *, secret: bool = False, kept: bool = False
    ) -> None:
        self._secret = secret
        self._required = set(schema.get("required", ()))
        self._hidden = kept and (secret or bool(self._required - values.keys()))
        definitions = schema.get("$defs", {})
        self._parts = {
            name: _resolved(part, definitions) for name, part in schema.get("properties", {}).items()
        }
        shown = {} if self._hidden else values
        self._fields = {name: self._draw(name, part, shown.get(name)) for name, part in self._parts.items()}
        self._drawn = self._filled()

    @property
    def empty(self) -> bool:
        return not self._parts

    def values(self) -> dict[str, Any] | None:
        """Return what was filled in; `None` to keep what is set and not shown. Raises `Incomplete`."""
        if self._hidden and self._filled() == self._drawn:
            return None
        found = {
            name: value for name, part in self._parts.items() if (value := self._read(name, part)) is not None
        }
        # It replaces what is set: of a choice that is not made nobody knows whether the default is meant.
        chosen = {name for name, part in self._parts.items() if self._hidden and part.get("enum")}
        missing = [self._label(name) for name in (self._required | chosen) - found.keys()]
        if missing:
            raise Incomplete(f"Fill in: {', '.join(sorted(missing))}.")
        return found

    def _filled(self) -> dict[str, Any]:
        return {name: field.value for name, field in self._fields.items()}

    def _label(self, name: str) -> str:
        return str(self._parts[name].get("title") or name.replace("_", " ").capitalize())

    def _draw(self, name: str, part: Schema, value: Any) -> Any:  # noqa: PLR0911 - one per kind of field
        title = str(part.get("title") or name.replace("_", " ").capitalize())
        label = title if name in self._required else f"{title} (optional)"
        hint = "Leave empty to keep what is set." if self._hidden else str(part.get("description", ""))
        value = part.get("default") if value is None and not self._hidden else value
        kind = part.get("type")
        if options := part.get("enum"):
            first = None if self._hidden else value or options[0]
            return choice(label, [str(option) for option in options], first, hint=hint)
        if kind == "boolean":
            return switch(title, bool(value), hint=hint)
        if kind in ("integer", "number"):
            return number_field(
                label, value, hint=hint, least=part.get("minimum", -1e9), most=part.get("maximum", 1e9)
            )
        longest = int(part.get("maxLength", 100_000))
        if self._secret:
            return text_field(label, hint=hint, kind="password", longest=longest)
        if _is_list(part):
            return text_field(
                label,
                "\n".join(map(str, value or [])),
                hint=f"{hint} One per line.".strip(),
                lines=3,
                longest=longest,
            )
        if kind in ("object", "array"):
            shown = msgspec.json.format(msgspec.json.encode(value)).decode() if value else ""
            return text_field(label, shown, hint=f"{hint} As JSON.".strip(), lines=4, longest=longest)
        return text_field(label, str(value or ""), hint=hint, longest=longest)

    def _read(self, name: str, part: Schema) -> Any:
        value, kind = self._fields[name].value, part.get("type")
        if kind == "boolean":
            return bool(value)
        if value is None or value == "":
            return None
        if kind == "integer":
            return int(value)
        if _is_list(part) and not self._secret:
            return [line.strip() for line in str(value).splitlines() if line.strip()]
        if kind in ("object", "array"):
            try:
                return msgspec.json.decode(str(value))
            except msgspec.DecodeError:
                raise Incomplete(f"{self._label(name)} is not valid JSON.") from None
        return value


def _is_list(part: Schema) -> bool:
    return part.get("type") == "array" and part.get("items", {}).get("type") == "string"


def _resolved(part: Schema, definitions: dict[str, Schema]) -> Schema:
    """Return a part with its reference, or the only kind of value it takes besides null, in place."""
    if "$ref" in part:
        return {**definitions.get(str(part["$ref"]).rpartition("/")[2], {}), **part}
    options = [one for one in part.get("anyOf", ()) if one.get("type") != "null"]
    return {**_resolved(options[0], definitions), **part} if len(options) == 1 else part
