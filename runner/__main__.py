"""`python -m runner`: execute runs for the gateways."""

import uvicorn

from kit import logs
from kit.settings import RunnerSettings, StackSettings, load
from runner.app import create_app

if __name__ == "__main__":
    logs.configure("runner", load(StackSettings).log_level)
    settings = load(RunnerSettings)
    uvicorn.run(
        create_app(),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=10,
    )
