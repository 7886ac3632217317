"""`python -m stack.provider`: serve the local model provider."""

import argparse
import os

import uvicorn

from kit import logs
from stack.provider.app import create_app

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m stack.provider", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--time-scale", type=float, default=1.0, help="multiplies the delays; 0: none")
    args = parser.parse_args()
    logs.configure("provider")
    uvicorn.run(
        create_app(args.time_scale, os.environ.get("RUNMETER_PROVIDER_API_KEY", "")),
        host=args.host,
        port=args.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
    )
