"""`python -m ingestion`: run one ingestion worker."""

import asyncio

from ingestion.service import serve
from kit import logs, tracing
from kit.settings import StackSettings, load

if __name__ == "__main__":
    logs.configure("ingestion", load(StackSettings).log_level)
    tracing.configure("ingestion")
    raise SystemExit(asyncio.run(serve()))
