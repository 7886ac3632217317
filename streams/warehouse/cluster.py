"""The same migrations for a cluster: each statement as it reads there. The files, and their checksums, stay.

A table becomes two: `name_local`, replicated within a shard, and `name`, which spreads rows over shards by
whose they are, so that everything of an org is on one shard and FINAL folds it there. Databases, shards and
replicas are named by the server's macros `{shard}` and `{replica}`.
"""

from __future__ import annotations

import re

_TABLE = re.compile(
    r"CREATE TABLE (?P<lenient>IF NOT EXISTS )?(?P<name>\w+)\s*(?P<columns>\(.*\))\s*"
    r"ENGINE = (?P<engine>\w*MergeTree)(?:\((?P<arguments>[^)]*)\))?(?P<rest>.*)",
    re.DOTALL,
)
_WINDOW = re.compile(r"non_replicated_deduplication_window = (\d+)")
_OBJECT = re.compile(r"(CREATE VIEW \w+|DROP (?:VIEW|TABLE) (?:IF EXISTS )?\w+)")
_DROPPED = re.compile(r"DROP TABLE (?:IF EXISTS )?(\w+)")
#: A block that is sent again within a week is known again, as on one server, which counts blocks only.
_WINDOW_S = 604_800

#: Statements that read what was just written, and writes through a Distributed table: both go to the first
#: replica of a shard that is there, and a write is answered when the shards have it.
SETTINGS: dict[str, object] = {
    "load_balancing": "in_order",
    "prefer_localhost_replica": 0,
    "distributed_foreground_insert": 1,
}


class CannotRender(ValueError):
    """A statement whose form on a cluster is not known: it would be run on one server alone."""


def render(statement: str, cluster: str) -> list[str]:
    """Return what a migration's statement is on a cluster, `""` being none. Raises `CannotRender`."""
    if not cluster or statement.startswith("INSERT INTO"):
        return [statement]
    if found := _TABLE.fullmatch(statement):
        return _table(found, cluster)
    if not (found := _OBJECT.match(statement)):
        raise CannotRender(f"not known on a cluster: {statement[:80]}")
    made = [_OBJECT.sub(rf"\1 ON CLUSTER {cluster}", statement, count=1)]
    if dropped := _DROPPED.match(statement):
        made.append(f"DROP TABLE IF EXISTS {local(dropped[1], cluster)} ON CLUSTER {cluster} SYNC")
    return made


def journal(statement: str, cluster: str) -> str:
    """Return the journal's statement: one table, of which every server has a copy."""
    if not cluster:
        return statement
    engine = "ReplicatedMergeTree('/clickhouse/tables/all/{database}/{table}', '{shard}-{replica}')"
    return statement.replace("schema_migrations", f"schema_migrations ON CLUSTER {cluster}").replace(
        "ENGINE = MergeTree", f"ENGINE = {engine}"
    )


def local(table: str, cluster: str) -> str:
    """Return the name of what holds a table's rows on each server."""
    return f"{table}_local" if cluster else table


def on(cluster: str) -> str:
    """Return what has a statement run on every server."""
    return f" ON CLUSTER {cluster}" if cluster else ""


def _table(found: re.Match[str], cluster: str) -> list[str]:
    name, lenient = found["name"], found["lenient"] or ""
    arguments = ["'/clickhouse/tables/{shard}/{database}/{table}'", "'{replica}'"]
    arguments += [found["arguments"]] if found["arguments"] else []
    rest, windows = _WINDOW.subn(
        rf"replicated_deduplication_window = \1, replicated_deduplication_window_seconds = {_WINDOW_S}",
        found["rest"],
    )
    if not windows:
        raise CannotRender(f"{name} has no deduplication window: a block sent again would count twice")
    owner = "org_id" if re.search(r"\borg_id\b", found["columns"]) else "instance_id"
    own = local(name, cluster)
    return [
        f"CREATE TABLE {lenient}{own} ON CLUSTER {cluster}\n{found['columns']}\n"
        f"ENGINE = Replicated{found['engine']}({', '.join(arguments)}){rest}",
        f"CREATE TABLE {lenient}{name} ON CLUSTER {cluster} AS {own}\n"
        f"ENGINE = Distributed({cluster}, currentDatabase(), {own}, cityHash64(tenant_id, {owner}))",
    ]
