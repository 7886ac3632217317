"""`python -m console_api`: serve until SIGTERM, ending live streams politely first."""

from __future__ import annotations

import socket

import uvicorn

from console_api.app import Config, create_app
from kit import logs, tracing
from kit.keep_alive import KEEP_ALIVE_S
from kit.settings import StackSettings, load
from kit.tracing.http import Traced


class Server(uvicorn.Server):
    """Ends live streams before it waits for connections to finish; they would otherwise hold up the exit."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        app = self.config.loaded_app
        live = getattr(getattr(self.config.app, "state", app), "live", None)
        if live is not None:
            await live.close()
        await super().shutdown(sockets)


def main() -> None:
    config = Config.load()
    logs.configure("console_api", load(StackSettings).log_level)
    app = create_app(config)
    if tracing.configure("console_api", edge=True):
        app.add_middleware(Traced)
    server = Server(
        uvicorn.Config(
            app,
            host=config.api.host,
            port=config.api.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=5,
        )
    )
    server.run()


if __name__ == "__main__":
    main()
