"""`runmeter secrets lint` and `runmeter secrets verify`."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from pathlib import Path

import hvac
import msgspec

from stack.errors import StackError
from stack.secrets.lint import lint
from stack.secrets.manifests import read
from stack.secrets.verify import Unreachable, verify

_TIMEOUT_S = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    what = parser.add_subparsers(dest="what", required=True)
    linting = what.add_parser("lint", help="find references that could never sync")
    verifying = what.add_parser("verify", help="ask a live KV v2 store for each reference")
    for one in (linting, verifying):
        one.add_argument("paths", type=Path, nargs="+", help="manifests, or folders of them")
        one.add_argument("--json", action="store_true", help="print one JSON list")
    verifying.add_argument("--address", default=os.environ.get("VAULT_ADDR", ""), help="else VAULT_ADDR")
    verifying.add_argument("--token-file", type=Path, help="a file that holds the token; else VAULT_TOKEN")
    verifying.add_argument("--mount", default="", help="instead of the stores' own")


def run(args: argparse.Namespace) -> int:
    """Lint or verify; 1 when something would not arrive."""
    manifests = read(args.paths)
    if args.what == "lint":
        findings = lint(manifests)
        _print([asdict(finding) for finding in findings], [str(finding) for finding in findings], args.json)
        return int(any(not finding.warning for finding in findings))
    if not args.address:
        raise StackError("which store? Give --address, or set VAULT_ADDR")
    token = args.token_file.read_text().strip() if args.token_file else os.environ.get("VAULT_TOKEN", "")
    if not token:
        raise StackError("who are you? Set VAULT_TOKEN, or give --token-file")
    client = hvac.Client(url=args.address, token=token, timeout=_TIMEOUT_S)
    try:
        verdicts = verify(manifests, client, args.mount)
    except Unreachable as error:
        raise StackError(str(error)) from error
    _print([asdict(verdict) for verdict in verdicts], [str(verdict) for verdict in verdicts], args.json)
    return int(not verdicts or any(verdict.status != "Synced" for verdict in verdicts))


def _print(plain: list[dict[str, object]], lines: list[str], as_json: bool) -> None:
    print(msgspec.json.encode(plain).decode() if as_json else "\n".join(lines) or "nothing to say")
