"""`python -m stack.env_example`: the text of `.env.example`, every setting with its default."""

from __future__ import annotations

import inspect
import re
from types import ModuleType

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from kit.settings import alerts, control, embedded, exports, knowledge, runs, stores

_MODULES = (stores, runs, control, alerts, knowledge, exports, embedded)

# Commented out, all of it: a variable that is set replaces the part it names (`RUNMETER_KAFKA_BOOTSTRAP` …).
_HEAD = """\
# Every setting and its default. Uncomment a line to change one.
# `runmeter up` does not start a part whose address is set here:
#   RUNMETER_KAFKA_BOOTSTRAP, RUNMETER_REDIS_URL, RUNMETER_CLICKHOUSE_URL, RUNMETER_RUNNER_MODEL_BASE_URL,
#   RUNMETER_OIDC_ISSUER
# Written by `make env-example` from kit/settings; do not edit it by hand.
"""


def classes() -> list[type[BaseSettings]]:
    """Return the settings classes in the order they are written in."""
    return [kind for module in _MODULES for kind in _written_in(module)]


def _written_in(module: ModuleType) -> list[type[BaseSettings]]:
    found = [kind for _, kind in inspect.getmembers(module, inspect.isclass)]
    own = [kind for kind in found if issubclass(kind, BaseSettings) and kind.__module__ == module.__name__]
    return sorted(own, key=lambda kind: inspect.getsourcelines(kind)[1])


def render() -> str:
    """Return the file's text."""
    return _HEAD + "".join(_section(kind) for kind in classes())


def _section(kind: type[BaseSettings]) -> str:
    source, prefix = inspect.getsource(kind), str(kind.model_config.get("env_prefix", ""))
    lines = ["", f"# --- {kind.__name__.removesuffix('Settings')} ---"]
    for name, field in kind.model_fields.items():
        lines += [f"# {line}" for line in _comment(source, name)]
        lines.append(f"#{prefix}{name.upper()}={_text(field.default)}")
    return "\n".join(lines) + "\n"


def _comment(source: str, name: str) -> list[str]:
    found = re.search(rf"((?:^    #: .*\n)+)    {name}:", source, re.MULTILINE)
    return [line.strip().removeprefix("#: ") for line in found[1].splitlines()] if found else []


def _text(default: object) -> str:
    return default.get_secret_value() if isinstance(default, SecretStr) else str(default)


if __name__ == "__main__":
    print(render(), end="")
