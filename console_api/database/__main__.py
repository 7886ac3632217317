"""`python -m console_api.database`: bring the database to the newest schema."""

from __future__ import annotations

import asyncio

from console_api.database.migrate import upgrade
from kit import logs
from kit.settings import DatabaseSettings, StackSettings, load

if __name__ == "__main__":
    logs.configure("migrate", load(StackSettings).log_level)
    asyncio.run(upgrade(load(DatabaseSettings)))
