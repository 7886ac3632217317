"""What one SELECT may reach, judged on ClickHouse's own reading of it: the lines of `EXPLAIN AST`.

The rows of other tenants are kept away by ClickHouse (`service`); this keeps a query on the way on which
that works: plain tables in FROM. A table function such as `merge`, a dictionary, or a table on the right of
IN would be read without the tenant's condition. Kinds of nodes are allowed by name, so that what a later
version of ClickHouse adds (SETTINGS, INTO OUTFILE and the like are nodes, too) stays refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from kit.problems import InvalidRequest

VIEWS = (
    "analyst_runs",
    "analyst_usage_minute",
    "analyst_usage_hourly",
    "analyst_usage_daily",
    "analyst_tool_calls",
    "analyst_ledger",
    "analyst_prices",
    "analyst_ingestion",
    "analyst_sessions",
)

_SELECT = "SelectWithUnionQuery"
_KINDS = frozenset(
    [
        "SelectWithUnionQuery",
        "SelectIntersectExceptQuery",
        "SelectQuery",
        "ExpressionList",
        "Subquery",
        "WithElement",
        "Literal",
        "Identifier",
        "TableIdentifier",
        "Function",
        "Asterisk",
        "QualifiedAsterisk",
        "ColumnsRegexpMatcher",
        "ColumnsListMatcher",
        "QualifiedColumnsRegexpMatcher",
        "QualifiedColumnsListMatcher",
        "ColumnsApplyTransformer",
        "ColumnsExceptTransformer",
        "ColumnsReplaceTransformer",
        "TablesInSelectQuery",
        "TablesInSelectQueryElement",
        "TableExpression",
        "TableJoin",
        "ArrayJoin",
        "OrderByElement",
        "InterpolateElement",
        "WindowDefinition",
        "WindowListElement",
    ]
)
#: They read what no condition is on, say something about the server, or only take time.
_REFUSED = re.compile(
    r"(?i)dict.*|joinGet.*|file|sleep.*|executable.*|catboost.*|evalMLMethod|hasColumnInTable|throwIf"
    r"|getServer.*|getMacro|getSetting.*|getOSKernel.*|hostName|fqdn|tcpPort|serverUUID|displayName|zookeeper.*"
    r"|current_?(user|database|profiles|roles|schemas|query_?id)|user|enabled.*|default(Profiles|Roles)|connectionId|initial_?query.*|query_?id|filesystem.*"
    r"|address.*|demangle|trap|showCertificate|transaction.*|generateSerialID|nonNegativeDerivative"
    r"|runningAccumulate|blockSerializedSize|ai[A-Z].*|ai_.*|http.*|url|remote.*|cluster.*|in_table"
)
_IN = re.compile(r"(?i)(global)?(not)?(null)?in(ignoreset)?")


@dataclass
class _Node:
    kind: str
    name: str
    depth: int
    children: list[_Node] = field(default_factory=list)


def check(tree: str, database: str, tables: Collection[str]) -> None:
    """Raise `InvalidRequest` unless this is one SELECT over the views. `tables`: all of the database."""
    nodes = list(_nodes(tree))
    if not nodes or nodes[0].kind != _SELECT:
        raise InvalidRequest("sql: only one SELECT is run here.")
    for node in nodes:
        if node.kind not in _KINDS:
            raise InvalidRequest(f"sql: no {node.kind} is allowed here; write a plain SELECT.")
        if node.kind == "TableIdentifier":
            _check_table(node.name, database, tables)
        elif node.kind == "Function":
            _check_function(node)
        elif node.kind == "TableExpression":
            for child in node.children:
                if child.kind == "Function":
                    raise InvalidRequest(f"sql: the table function {child.name} is not allowed here.")


def _check_table(name: str, database: str, tables: Collection[str]) -> None:
    plain = name.removeprefix(f"{database}.")
    # What is no table can only be the name of a WITH, or the query fails.
    if plain in VIEWS or ("." not in name and name not in tables):
        return
    raise InvalidRequest(f"sql: {name} cannot be read here; there are {', '.join(VIEWS)}.", allowed=[*VIEWS])


def _check_function(node: _Node) -> None:
    if _REFUSED.fullmatch(node.name):
        raise InvalidRequest(f"sql: the function {node.name} is not allowed here.")
    if _IN.fullmatch(node.name):
        arguments = [argument for child in node.children for argument in child.children]
        if any(argument.kind in ("Identifier", "TableIdentifier") for argument in arguments[1:]):
            raise InvalidRequest("sql: IN takes a list or a SELECT in brackets here, not a name.")


def _nodes(tree: str) -> Iterator[_Node]:
    """Yield the nodes in order, each with its children; one line each, a blank further in than its parent.

    A quoted name may hold line ends: it can add lines, and so have a query refused, but take none away.
    """
    above: list[_Node] = []
    made: list[_Node] = []
    for line in tree.splitlines():
        text = line.lstrip(" ")
        depth = len(line) - len(text)
        kind, _, rest = text.partition(" ")
        node = _Node(kind, re.sub(r"\s*\((alias|children) .*\)\s*$", "", rest), depth)
        while above and above[-1].depth >= depth:
            above.pop()
        if above:
            above[-1].children.append(node)
        above.append(node)
        made.append(node)
    yield from made
