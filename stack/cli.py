"""The `runmeter` command. A subcommand is a function that declares its options and one that runs it."""

from __future__ import annotations

import argparse
import importlib
import sys
from dataclasses import dataclass

from stack.errors import StackError


@dataclass(frozen=True)
class Command:
    """One subcommand: what it is for, and where its functions are.

    Only what was asked for is imported: all of it together takes seconds.
    """

    help: str
    module: str
    run: str = "run"
    declare: str = "add_arguments"

    def declares(self, parser: argparse.ArgumentParser) -> None:
        getattr(importlib.import_module(self.module), self.declare)(parser)

    def runs(self, args: argparse.Namespace) -> int:
        return int(getattr(importlib.import_module(self.module), self.run)(args))


COMMANDS: dict[str, Command] = {
    "demo": Command("send realistic runs and watch them being metered", "stack.demo"),
    "up": Command("start the stack", "stack.up", "up", "add_up_arguments"),
    "tenant": Command("make a tenant, and tokens for its services", "stack.tenant"),
    "replay": Command("publish dead letters again", "stack.replay"),
    "reconcile": Command("compute everything anew and compare", "stack.reconcile"),
    "exports": Command("billing records for other systems", "stack.exports"),
    "correct": Command("correct what runs cost, or charge late usage", "stack.correct"),
    "checkpoint": Command("copy Valkey's state now", "stack.checkpoints"),
    "rebuild": Command("restore what Valkey lost", "stack.rebuild"),
    "warehouse": Command("the history's schema, and who may read it", "stack.warehouse"),
    "secrets": Command("check what Vault is to deliver", "stack.secrets.command"),
    "doctor": Command("look for what is wrong, and say what to do", "stack.doctor.command"),
    "status": Command("show what runs", "stack.up", "status", "add_json_argument"),
    "down": Command("stop the stack", "stack.up", "down", "add_json_argument"),
}


def main() -> None:
    """Parse the command line, run one subcommand, exit with its status."""
    parser = argparse.ArgumentParser(prog="runmeter", description=__doc__.splitlines()[0])
    subparsers = parser.add_subparsers(dest="command", required=True)
    asked = next(iter(sys.argv[1:]), "")
    for name, command in COMMANDS.items():
        options = subparsers.add_parser(name, help=command.help)
        if name == asked:
            command.declares(options)
    args = parser.parse_args()
    try:
        sys.exit(COMMANDS[args.command].runs(args))
    except StackError as error:
        sys.exit(f"runmeter: {error}")


if __name__ == "__main__":
    main()
