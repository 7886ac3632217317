"""What gives one tenant's analysts access to a ClickHouse server of its own users: DDL, to print or to apply.

A view runs with its reader's rights, so the reader may read the tables, too, and row policies on those decide
which rows. They hold wherever a table is read: in views, joins, subqueries, `merge()`. The embedded engine
has no users; there `POST /api/v1/sql` is the way.
"""

from __future__ import annotations

from clickhouse_connect.driver.binding import format_str

from schemas import rows
from streams.warehouse.cluster import local, on

_TABLES = rows.OF_TENANTS
#: `readonly = 2`: clients such as Grafana send settings of their own; those that are limits stay limits.
_LIMITS = (
    "readonly = 2",
    "max_execution_time = 60 MAX 60",
    "max_memory_usage = 4294967296 MAX 4294967296",
    "max_result_rows = 1000000 MAX 1000000",
    "max_threads = 4 MAX 4",
)


def statements(
    database: str, tenant_id: str, views: list[str], user: str = "", cluster: str = ""
) -> list[str]:
    """Return the DDL that makes a role for a tenant's analysts, and gives it to a `user`.

    It may run again. Other users see what they saw before, unless `users_without_row_policies_can_read_rows`
    was turned off in the server's configuration: then they need a policy of their own.
    """
    role = _name(f"analyst_{tenant_id}")
    where = f"tenant_id = {format_str(tenant_id)}"
    everywhere = on(cluster)
    found = [f"CREATE ROLE IF NOT EXISTS {role}{everywhere}"]
    # On a cluster a shard is asked in the reader's name, so both of a table's parts have the policy.
    for name in dict.fromkeys(name for table in _TABLES for name in (table.name, local(table.name, cluster))):
        place = f"{_name(database)}.{_name(name)}"
        # The policy before the grant: between the two nobody reads what they should not.
        policy = f"CREATE ROW POLICY OR REPLACE {role}{everywhere} ON {place}"
        found.append(f"{policy} FOR SELECT USING {where} TO {role}")
        found.append(f"GRANT{everywhere} SELECT ON {place} TO {role}")
    found += [f"GRANT{everywhere} SELECT ON {_name(database)}.{_name(view)} TO {role}" for view in views]
    limits = ", ".join(_LIMITS)
    found.append(f"CREATE SETTINGS PROFILE OR REPLACE {role}{everywhere} SETTINGS {limits} TO {role}")
    if user:
        found.append(f"GRANT{everywhere} {role} TO {_name(user)}")
    return found


def _name(text: str) -> str:
    return "`" + text.replace("\\", "\\\\").replace("`", "\\`") + "`"
