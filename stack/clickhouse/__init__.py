"""ClickHouse for one machine: the HTTP interface of ClickHouse over the embedded engine chDB.

Owns the files under its `--path` and one TCP port. Clients use `clickhouse-connect` or curl as they would
against a ClickHouse server; production points `RUNMETER_CLICKHOUSE_URL` at a real one and starts none of
this. Start it with `python -m stack.clickhouse --port 18123 --path DIR`.
"""
