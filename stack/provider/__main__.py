"""`python -m stack.provider`: serve the local model provider."""

from __future__ import annotations

import argparse
import logging
import math
import os
import socket

import uvicorn

from kit import logs
from kit.keep_alive import KEEP_ALIVE_S
from stack.provider.app import create_app

#: Bytes; connections inherit it. Left to itself it grows to megabytes on a loopback, and answers that nobody
#: reads would count as sent.
_SEND_BUFFER = 64 * 1024


class _NotCut(logging.Filter):
    """Drops the server's complaint about responses that a fault cut on purpose."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.msg != "ASGI callable returned without completing response."


def _scale(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return value


def main() -> None:
    """Serve until a signal ends it."""
    parser = argparse.ArgumentParser(prog="python -m stack.provider", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--time-scale", type=_scale, default=1.0, help="multiplies the delays; 0: none")
    args = parser.parse_args()
    logs.configure("provider")
    logging.getLogger("uvicorn.error").addFilter(_NotCut())
    config = uvicorn.Config(
        create_app(args.time_scale, os.environ.get("RUNMETER_PROVIDER_API_KEY", "")),
        host=args.host,
        port=args.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=3,
    )
    listening = config.bind_socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    uvicorn.Server(config).run([listening])


if __name__ == "__main__":
    main()
