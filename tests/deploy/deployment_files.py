"""The deployment's files, parsed; overlays are resolved as far as this repository uses Kustomize."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from role_imports import ROOT

DOCKER = ROOT / "docker"
BASE = DOCKER / "k8s" / "base"
EXPORTS = DOCKER / "k8s" / "exports"
OVERLAYS = sorted(path for path in (DOCKER / "k8s" / "overlays").iterdir() if path.is_dir())
Document = dict[str, Any]
PORTS = {
    "gateway": 18080,
    "runner": 18081,
    "console-api": 18083,
    "console": 18084,
    "metering": 18085,
    "warehouse": 18086,
    "relay": 18087,
    "ingestion": 18088,
    "operate": 18090,
}


def compose() -> Document:
    """Return the compose file with its anchors merged."""
    document: Document = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return document


def manifests(folder: Path = BASE) -> list[Document]:
    """Return what the folder's kustomization names, at any depth. A name that leads nowhere raises."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    found: list[Document] = []
    for name in [*kustomization["resources"], *kustomization.get("components", [])]:
        path = (folder / name).resolve()
        found += manifests(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))
    for patch in kustomization.get("patches", []):
        _patch(found, patch)
    return found


def of_kind(documents: list[Document], *kinds: str) -> dict[str, Document]:
    """Return the documents of some kinds by name."""
    return {one["metadata"]["name"]: one for one in documents if one["kind"] in kinds}


def workloads(documents: list[Document]) -> dict[str, Document]:
    """Return what runs for good, by name."""
    return of_kind(documents, "Deployment", "StatefulSet")


def pods(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """Yield every pod's specification, with its owner's name."""
    for name, one in of_kind(documents, "Deployment", "StatefulSet", "Job").items():
        yield name, one["spec"]["template"]["spec"]


def environment(documents: list[Document], name: str) -> set[str]:
    """Return the names of all variables that one workload or job is told."""
    spec = next(spec for owner, spec in pods(documents) if owner == name)["containers"][0]
    told = {item["name"] for item in spec.get("env", [])}
    settings, secrets = of_kind(documents, "ConfigMap"), of_kind(documents, "ExternalSecret")
    for source in spec["envFrom"]:
        if "configMapRef" in source:
            told |= set(settings[source["configMapRef"]["name"]]["data"])
            continue
        reference = source["secretRef"]
        if reference["name"] in secrets or not reference.get("optional"):
            told |= {item["secretKey"] for item in secrets[reference["name"]]["spec"]["data"]}
    return told


def profile(name: str) -> dict[str, str]:
    """Return the variables of one `.env` file under `docker/`."""
    lines = [line for line in (DOCKER / name).read_text().splitlines() if line and line[0] != "#"]
    return dict(line.split("=", 1) for line in lines)


def _patch(documents: list[Document], patch: Document) -> None:
    target = patch["target"]
    found = [
        one
        for one in documents
        if one["kind"] == target["kind"] and one["metadata"]["name"] == target["name"]
    ]
    if len(found) != 1:
        raise LookupError(f"{target} names {len(found)} resources")
    for step in yaml.safe_load(patch["patch"]):
        place: Any = found[0]
        *way, last = step["path"].strip("/").split("/")
        for key in way:
            place = place[int(key)] if isinstance(place, list) else place[key]
        if step["op"] != "replace" or last not in place:
            raise LookupError(f"{target}: {step['op']} {step['path']} finds nothing")
        place[last] = step["value"]
