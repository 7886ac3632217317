"""External Secrets' manifests, as they are written, with the lines they are written on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stack.errors import StackError

MAX_BYTES = 4 * 1024 * 1024
_SUFFIXES = (".yaml", ".yml")


class Text(str):
    """A scalar, and where it stands."""

    line: int = 0


@dataclass(frozen=True)
class Manifest:
    """One YAML document. Scalars are `Text`."""

    path: Path
    line: int
    body: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.body.get("kind", ""))

    @property
    def name(self) -> str:
        metadata = self.body.get("metadata")
        return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""

    def at(self, *steps: str) -> Any:
        """Return what stands under those keys, `None` if nothing does."""
        found: Any = self.body
        for step in steps:
            found = found.get(step) if isinstance(found, dict) else None
        return found


def read(paths: Iterable[Path]) -> list[Manifest]:
    """Return the documents of all YAML files under the paths. Raises `StackError` naming the file."""
    return [manifest for path in files(paths) for manifest in _documents(path)]


def files(paths: Iterable[Path]) -> list[Path]:
    """Return the YAML files under the paths, each once. Raises `StackError` for a path that is not there."""
    found: set[Path] = set()
    for path in paths:
        if path.is_dir():
            found |= {file for file in path.rglob("*") if file.suffix in _SUFFIXES and file.is_file()}
        elif path.is_file():
            found.add(path)
        else:
            raise StackError(f"there is no {path}")
    return sorted(found)


def _documents(path: Path) -> Iterator[Manifest]:
    if path.stat().st_size > MAX_BYTES:
        raise StackError(f"{path} is larger than {MAX_BYTES} bytes")
    try:
        # Composed, not constructed: nothing of it is run, and each node knows its line.
        for node in yaml.compose_all(path.read_text(), Loader=yaml.SafeLoader):
            body = _value(node)
            if isinstance(body, dict):
                yield Manifest(path, node.start_mark.line + 1, body)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StackError(f"{path} is no YAML: {error}") from error


def _value(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {str(_value(key)): _value(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_value(item) for item in node.value]
    text = Text(node.value)
    text.line = node.start_mark.line + 1
    return text
