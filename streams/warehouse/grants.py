"""What gives one tenant's analysts access to a ClickHouse server of its own users: DDL, to print or to apply.

A view runs with its reader's rights, so the reader may read the tables, too, and row policies on those decide
which rows. They hold wherever a table is read: in views, joins, subqueries, `merge()`. The embedded engine
has no users; there `POST /api/v1/sql` is the way.
"""

from __future__ import annotations

from schemas import rows

_TABLES = (*rows.ALL, *rows.KNOWLEDGE)
#: `readonly = 2`: clients such as Grafana send settings of their own; those that are limits stay limits.
_LIMITS = (
    "readonly = 2",
    "max_execution_time = 60 MAX 60",
    "max_memory_usage = 4294967296 MAX 4294967296",
    "max_result_rows = 1000000 MAX 1000000",
    "max_threads = 4 MAX 4",
)


def statements(database: str, tenant_id: str, views: list[str], user: str = "") -> list[str]:
    """Return the DDL that makes a role for a tenant's analysts, and gives it to a `user`.

    It may run again. Other users see what they saw before, unless `users_without_row_policies_can_read_rows`
    was turned off in the server's configuration: then they need a policy of their own.
    """
    role = _name(f"analyst_{tenant_id}")
    where = f"tenant_id = {_text(tenant_id)}"
    found = [f"CREATE ROLE IF NOT EXISTS {role}"]
    for table in _TABLES:
        place = f"{_name(database)}.{_name(table.name)}"
        # The policy before the grant: between the two nobody reads what they should not.
        found.append(f"CREATE ROW POLICY OR REPLACE {role} ON {place} FOR SELECT USING {where} TO {role}")
        found.append(f"GRANT SELECT ON {place} TO {role}")
    found += [f"GRANT SELECT ON {_name(database)}.{_name(view)} TO {role}" for view in views]
    found.append(f"CREATE SETTINGS PROFILE OR REPLACE {role} SETTINGS {', '.join(_LIMITS)} TO {role}")
    if user:
        found.append(f"GRANT {role} TO {_name(user)}")
    return found


def _name(text: str) -> str:
    return "`" + text.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
