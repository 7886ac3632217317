"""Asks a live KV v2 store for each field, and says whether it would arrive. No value is kept or shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import hvac
from hvac.exceptions import Forbidden, InvalidPath, VaultError
from requests.exceptions import RequestException

from stack.secrets.lint import STORES, Reference, references
from stack.secrets.manifests import Manifest

Status = Literal["Synced", "missing key", "missing property", "deleted", "denied", "empty"]


@dataclass(frozen=True)
class Verdict:
    """Whether one field arrives."""

    secret: str
    field: str
    asked: str
    status: Status

    def __str__(self) -> str:
        return f"{self.secret} {self.field}: {self.status} ({self.asked})"


class Unreachable(Exception):
    """The store does not answer, or not as a store; the text holds no secret."""


def verify(manifests: Sequence[Manifest], client: hvac.Client, mount: str = "") -> list[Verdict]:
    """Resolve every field as the operator would. `mount`: instead of the store's. Raises `Unreachable`."""
    mounts = {
        m.name: str(m.at("spec", "provider", "vault", "path") or "") for m in manifests if m.kind in STORES
    }
    read: dict[tuple[str, str], dict[str, object] | Status] = {}
    verdicts = []
    for reference in references(manifests):
        at = (mount or mounts.get(reference.store, ""), str(reference.key))
        if at not in read:
            read[at] = _read(client, *at)
        verdicts.append(_judge(reference, at, read[at]))
    return verdicts


def _read(client: hvac.Client, mount: str, key: str) -> dict[str, object] | Status:
    try:
        answer = client.secrets.kv.v2.read_secret_version(
            path=key, mount_point=mount, raise_on_deleted_version=False
        )
    except InvalidPath:
        return "missing key"
    except Forbidden:
        return "denied"
    except (VaultError, RequestException) as error:
        raise Unreachable(f"the store cannot be asked: {type(error).__name__}") from error
    data = answer.get("data", {}).get("data") if isinstance(answer, dict) else None
    return data if isinstance(data, dict) else "deleted"


def _judge(reference: Reference, at: tuple[str, str], found: dict[str, object] | Status) -> Verdict:
    status: Status
    if isinstance(found, str):
        status = found
    elif not reference.property or str(reference.property) not in found:
        status = "missing property"
    else:
        status = "Synced" if found[str(reference.property)] not in ("", None) else "empty"
    asked = f"{at[0]}/data/{at[1]} {reference.property or '?'}"
    return Verdict(reference.manifest.name, str(reference.secret_key), asked, status)
