"""`python -m stack.issuer`: serve the development issuer, or give it a new signing key."""

from __future__ import annotations

import argparse
from ipaddress import ip_address

import uvicorn

from kit import logs
from kit.keep_alive import KEEP_ALIVE_S
from kit.settings import IssuerSettings, StackSettings, load
from stack.issuer.app import create_app
from stack.issuer.signing_keys import SigningKeys

_MAX_CONNECTIONS = 256


def main() -> None:
    """Serve until a signal ends it."""
    parser = argparse.ArgumentParser(prog="python -m stack.issuer", description=__doc__)
    parser.add_argument(
        "--rotate-key",
        action="store_true",
        help="sign with a new key from now on, keep the old public ones, and exit; no restart is needed",
    )
    args = parser.parse_args()
    settings, data_dir = load(IssuerSettings), load(StackSettings).data_dir
    if args.rotate_key:
        print(SigningKeys(data_dir).rotate())
        return
    _check_loopback(settings.host)
    logs.configure("issuer", load(StackSettings).log_level)
    uvicorn.run(
        create_app(settings, data_dir),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=3,
    )


def _check_loopback(host: str) -> None:
    """Refuse to serve others: whoever has the one password is everybody."""
    try:
        loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise SystemExit(
            "invalid settings: RUNMETER_ISSUER_HOST: this issuer is for development and serves "
            "127.0.0.1 only; for others, run one of your own and name it in RUNMETER_OIDC_ISSUER"
        )


if __name__ == "__main__":
    main()
