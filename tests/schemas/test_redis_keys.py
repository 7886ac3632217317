from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from parsed import parsed
from redis.crc import key_slot

from schemas import keys

ROOT = Path(keys.__file__).parents[1]
PACKAGES = (
    *("schemas", "metering", "kit", "gateway", "runner", "streams", "ingestion"),
    *("console_api", "console", "stack"),
)

ARGUMENTS = {
    "partition": 7,
    "topic": "usage.runs",
    "run_id": "run_1",
    "org_id": "org_1",
    "instance_id": "ins_1",
    "window": "minute",
    "start_ms": 60_000,
    "key": "any {thing} at all",
    "key_id": "key_1",
    "digest": "ab12",
    "version": "list-1",
    "tenant_id": "acme",
    "of": "requests",
    "conversation": "conv_1",
    "provider": "stripe",
}
BUILDERS = [
    function
    for _, function in inspect.getmembers(keys, inspect.isfunction)
    if function.__module__ == "schemas.keys"
]
HOT = [function for function in BUILDERS if "partition" in inspect.signature(function).parameters]
PROJECTIONS = [function for function in BUILDERS if function not in HOT]

#: A hash tag being written, alone at the end of an f-string's part or with a number or a placeholder in it.
_TAG = re.compile(r"\{p(?:$|\d|%|\{)")


def built(function: Callable[..., str], **changed: object) -> str:
    known = {**ARGUMENTS, **changed}
    return function(**{name: known[name] for name in inspect.signature(function).parameters})


def spelt_keys(source: str) -> Iterator[int]:
    """Yield the lines on which Python code spells a Redis key itself."""
    prefixes = tuple(built(function).split(":")[0] + ":" for function in PROJECTIONS)
    channels = (keys.CANCEL_CHANNEL, keys.KEY_CHANGED_CHANNEL, keys.LIMIT_CHANNEL)
    tree = parsed(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
            if _TAG.search(text) or text in channels or text.startswith(prefixes):
                yield node.lineno


@pytest.mark.parametrize("partition", [0, 7, 255])
def test_all_hot_keys_of_a_partition_share_one_slot(partition: int) -> None:
    slots = {key_slot(built(function, partition=partition).encode()) for function in HOT}

    assert slots == {key_slot(f"{{p{partition}}}".encode())}


def test_partitions_spread_over_slots() -> None:
    assert len({key_slot(built(keys.outbox, partition=partition).encode()) for partition in range(64)}) == 64


@pytest.mark.parametrize("hostile", ["{p1}", "}{", "a:b", "{}", "p1}:x"])
def test_an_id_cannot_move_a_key_to_another_slot(hostile: str) -> None:
    for function in HOT:
        moved = built(function, org_id=hostile, run_id=hostile, instance_id=hostile, key=hostile)

        assert key_slot(moved.encode()) == key_slot(b"{p7}")


def test_no_two_builders_make_the_same_key() -> None:
    made = [built(function) for function in BUILDERS]

    assert len(set(made)) == len(made)
    assert built(keys.counter, window="total") != built(keys.counter)


def test_projections_carry_no_hash_tag() -> None:
    assert [key for key in map(built, PROJECTIONS) if "{" in key] == []


def test_a_clients_idempotency_key_is_not_readable() -> None:
    key = built(keys.idempotency, key="customer secret")

    assert "secret" not in key
    assert key != built(keys.idempotency, key="customer secret 2")


def test_every_builder_says_what_it_holds() -> None:
    assert [function.__name__ for function in BUILDERS if not function.__doc__] == []


def test_no_other_module_spells_a_key() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if path != Path(keys.__file__)
        for line in spelt_keys(path.read_text())
    ]

    assert found == [], "build it in schemas/keys.py"


def test_no_script_spells_a_key() -> None:
    scripts = [path for package in PACKAGES for path in (ROOT / package).rglob("*.lua")]

    assert scripts
    assert [path.name for path in scripts if _TAG.search(path.read_text())] == []


@pytest.mark.parametrize(
    "planted",
    [
        'key = f"{{p{partition}}}:wallet:{org_id}"',
        'key = "{p7}:outbox"',
        'key = "{p%d}:outbox" % partition',
        'key = "{p" + str(partition) + "}:outbox"',
        'key = "{{p{}}}:outbox".format(partition)',
        'key = f"api_key:{digest}"',
        'await redis.publish("runs:cancel", run_id)',
    ],
)
def test_a_key_that_is_spelt_elsewhere_is_found(planted: str) -> None:
    assert list(spelt_keys(planted)) == [1]


def test_ordinary_text_is_no_key() -> None:
    assert list(spelt_keys('a = f"{price} credits"; b = "instance"; c = f"{partition}-{seq}"')) == []


def test_the_guard_finds_the_keys_of_the_key_module_itself() -> None:
    assert len(list(spelt_keys(Path(keys.__file__).read_text()))) >= len(BUILDERS)
