"""Mistakes in External Secrets' manifests that no schema catches and that show only in a cluster.

The store names the mount (`path: secret`) and the version (`v2`), and the operator puts both into the
request, so a key that carries either asks for `secret/data/secret/data/…` and never syncs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from kit import settings
from stack.secrets.manifests import Manifest, Text

STORES = ("SecretStore", "ClusterSecretStore")
_SECRETS = ("ExternalSecret",)
_API = "external-secrets.io/"
#: How a file of destinations names the variable that holds a secret (`kit/settings/exports.py`).
_NAMED = re.compile(r"""^\s*\w+_env\s*=\s*["'](\w+)["']""", re.MULTILINE)
#: Without these a production process works with a default of development.
REQUIRED = (
    "RUNMETER_CLICKHOUSE_PASSWORD",
    "RUNMETER_RUNNER_MODEL_API_KEY",
    "RUNMETER_RUNNER_SERVICE_TOKENS",
    "RUNMETER_GATEWAY_SESSION_SECRETS",
    "RUNMETER_DATABASE_URL",
    "RUNMETER_SECRETS_KEYS",
    "RUNMETER_CONTROL_SERVICE_TOKEN",
)


@dataclass(frozen=True)
class Finding:
    """What is wrong, where, and what to write instead. A `warning` does not fail."""

    path: str
    line: int
    message: str
    remedy: str
    warning: bool = False

    def __str__(self) -> str:
        kind = "warning" if self.warning else "error"
        return f"{self.path}:{self.line}: {kind}: {self.message}: {self.remedy}"


@dataclass(frozen=True)
class Reference:
    """One field of an ExternalSecret, and where its value is to come from."""

    manifest: Manifest
    secret_key: Text
    key: Text
    property: Text | None
    store: str


def lint(manifests: Sequence[Manifest]) -> list[Finding]:
    """Return what is wrong with the manifests, in the order of their lines."""
    stores = {m.name: m for m in manifests if m.kind in STORES}
    secrets = [m for m in manifests if m.kind in _SECRETS]
    found: list[Finding] = []
    for manifest in (*stores.values(), *secrets):
        api = str(manifest.body.get("apiVersion", ""))
        if not api.startswith(_API):
            found.append(_at(manifest, None, f"apiVersion is {api!r}", f"write {_API}v1"))
    for store in stores.values():
        found += _store(store)
    known = known_variables(manifests)
    for manifest in secrets:
        found += _secret(manifest, stores, known)
    found += _missing(secrets)
    return sorted(found, key=lambda finding: (finding.path, finding.line, finding.message))


def references(manifests: Sequence[Manifest]) -> list[Reference]:
    """Return every field that an ExternalSecret fetches."""
    return [
        Reference(
            manifest,
            _text(item.get("secretKey")),
            _text(_remote(item).get("key")),
            _remote(item).get("property"),
            str(manifest.at("spec", "secretStoreRef", "name") or ""),
        )
        for manifest in manifests
        if manifest.kind in _SECRETS
        for item in _data(manifest)
    ]


def known_variables(manifests: Sequence[Manifest] = ()) -> frozenset[str]:
    """Return every environment variable that a service reads, a file of destinations' among them."""
    return frozenset(name for name, _ in _variables()) | _named(manifests)


def secret_variables(manifests: Sequence[Manifest] = ()) -> frozenset[str]:
    """Return those whose values are secrets."""
    return frozenset(name for name, secret in _variables() if secret) | _named(manifests)


def _named(manifests: Sequence[Manifest]) -> frozenset[str]:
    files = [m.at("data") for m in manifests if m.kind == "ConfigMap"]
    texts = [str(text) for data in files if isinstance(data, dict) for text in data.values()]
    return frozenset(name for text in texts for name in _NAMED.findall(text))


@cache
def _variables() -> tuple[tuple[str, bool], ...]:
    return tuple(_declared())


def _declared() -> Iterator[tuple[str, bool]]:
    for kind in vars(settings).values():
        if isinstance(kind, type) and issubclass(kind, BaseSettings) and kind is not BaseSettings:
            prefix = kind.model_config.get("env_prefix", "")
            for name, field in kind.model_fields.items():
                yield f"{prefix}{name}".upper(), field.annotation is SecretStr


def _store(store: Manifest) -> Iterator[Finding]:
    vault = store.at("spec", "provider", "vault")
    if not isinstance(vault, dict):
        return
    if vault.get("version") != "v2":
        yield _at(store, vault.get("version"), "the store is not `version: v2`", "write `version: v2`")
    path = vault.get("path")
    if not path:
        yield _at(store, None, "the store names no mount", "write `path: secret`")
    elif "/" in path.strip("/") and path.rstrip("/").endswith("/data"):
        yield _at(store, path, f"the mount {path!r} carries `data`", "name the mount alone")


def _secret(manifest: Manifest, stores: dict[str, Manifest], known: frozenset[str]) -> Iterator[Finding]:
    named = manifest.at("spec", "secretStoreRef", "name")
    store = stores.get(str(named or ""))
    if store is None:
        yield _at(manifest, named, f"there is no store {str(named or '')!r}", f"use one of {sorted(stores)}")
    mount = str(store.at("spec", "provider", "vault", "path") or "") if store else ""
    seen: set[str] = set()
    for item in _data(manifest):
        yield from _field(manifest, item, mount, seen, known)
    if manifest.at("spec", "dataFrom"):
        yield _at(
            manifest,
            None,
            "dataFrom takes whatever is there",
            "name each field under `data`, so that a missing one is noticed",
            warning=True,
        )
    if not _data(manifest) and not manifest.at("spec", "dataFrom"):
        yield _at(manifest, None, "it fetches nothing", "add `data`, or delete it")


def _field(
    manifest: Manifest, item: dict[str, Any], mount: str, seen: set[str], known: frozenset[str]
) -> Iterator[Finding]:
    name, remote = _text(item.get("secretKey")), _remote(item)
    key, field = _text(remote.get("key")), remote.get("property")
    if not name:
        yield _at(manifest, key, "a field without `secretKey`", "name the variable it fills")
    elif name in seen:
        yield _at(manifest, name, f"{name} stands there twice", "delete one of them")
    elif name not in known:
        yield _at(manifest, name, f"no service reads {name}", "see .env.example for the variables there are")
    seen.add(name)
    if not key:
        yield _at(manifest, name, f"{name} has no `remoteRef.key`", "name the secret, relative to the mount")
    elif (relative := _relative(key, mount)) != key:
        yield _at(manifest, key, f"the key {str(key)!r} is not relative to the mount", f"write {relative!r}")
    if not field:
        yield _at(
            manifest, key or name, f"{name} has no `property`", "name the field of the secret it comes from"
        )


def _relative(key: str, mount: str) -> str:
    """Return a key without what the store puts before it."""
    relative = key.strip("/")
    for lead in (f"{mount}/data/", "secret/data/", f"{mount}/", "data/"):
        if lead != "/" and relative.startswith(lead):
            relative = relative[len(lead) :]
    return relative


def _missing(secrets: Sequence[Manifest]) -> Iterator[Finding]:
    if not secrets:
        return
    given = {str(item.get("secretKey", "")) for manifest in secrets for item in _data(manifest)}
    for name in REQUIRED:
        if name not in given:
            where = Path(secrets[0].path).parent
            yield Finding(
                str(where), 1, f"no ExternalSecret provides {name}", "add it to the service that reads it"
            )


def _data(manifest: Manifest) -> list[dict[str, Any]]:
    data = manifest.at("spec", "data")
    return [item for item in data if isinstance(item, dict)] if isinstance(data, list) else []


def _remote(item: dict[str, Any]) -> dict[str, Any]:
    remote = item.get("remoteRef")
    return remote if isinstance(remote, dict) else {}


def _text(value: Any) -> Text:
    return value if isinstance(value, Text) else Text("")


def _at(manifest: Manifest, place: Any, message: str, remedy: str, *, warning: bool = False) -> Finding:
    line = place.line if isinstance(place, Text) and place.line else manifest.line
    return Finding(str(manifest.path), line, f"{manifest.kind}/{manifest.name}: {message}", remedy, warning)
