"""`python -m gateway`: serve the public API."""

import uvicorn

from gateway.app import create_app
from kit import logs
from kit.settings import GatewaySettings, StackSettings, load

if __name__ == "__main__":
    logs.configure("gateway", load(StackSettings).log_level)
    settings = load(GatewaySettings)
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
