"""Who may reach whom in Kubernetes: a process may reach the stores that it is told of, and no others."""

from __future__ import annotations

from typing import Any

import pytest
from deployment_files import BASE, EXPORTS, environment, manifests, of_kind, pods
from role_imports import ENTRIES, imports

DOCUMENTS = [*manifests(BASE), *manifests(EXPORTS)]
KAFKA = 9092
#: What only those are told who connect, and the port they ask. An address that all are told proves nothing.
STORES = {
    "RUNMETER_REDIS_URL": 6379,
    "RUNMETER_CLICKHOUSE_PASSWORD": 8123,
    "RUNMETER_DATABASE_URL": 5432,
}
OWNERS = dict(pods(DOCUMENTS))


def _allowed(name: str) -> set[int]:
    """Return the ports of stores that a policy lets a process out to."""
    rules = of_kind(DOCUMENTS, "NetworkPolicy")[name]["spec"]["egress"]
    stores = [{"namespaceSelector": {"matchLabels": {"runmeter.io/stores": "true"}}}]
    return {port["port"] for rule in rules if rule["to"] == stores for port in rule["ports"]}


def _entries(container: dict[str, Any]) -> tuple[str, ...]:
    """Return the modules that a container runs."""
    image = container["image"].removeprefix("runmeter/").partition(":")[0]
    return (container["command"][-1],) if "command" in container else ENTRIES[image]


@pytest.mark.parametrize("owner", sorted(OWNERS))
def test_a_process_may_reach_the_stores_that_it_is_told_of(owner: str) -> None:
    name = owner.removesuffix("-0-1-0")
    needed = {port for variable, port in STORES.items() if variable in environment(DOCUMENTS, owner)}
    if "aiokafka" in imports(*_entries(OWNERS[owner]["containers"][0]))[1]:
        needed.add(KAFKA)
    assert _allowed(name) & {KAFKA, *STORES.values()} == needed
