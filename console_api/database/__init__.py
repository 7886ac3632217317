"""The control plane's database: engine, tables, migrations. SQLite by default, PostgreSQL by its URL.

Owns: what is stored, its constraints and its migrations. Does not own: what may change when; that is for each
feature's `service`, and its SQL for each feature's `repository`.
"""
