"""The `runmeter` command. A subcommand is a function that declares its options and one that runs it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass

from stack import checkpoints, correct, demo, exports, rebuild, reconcile, replay, up, warehouse
from stack.doctor import command as doctor
from stack.errors import StackError
from stack.secrets import command as secrets


@dataclass(frozen=True)
class Command:
    """One subcommand."""

    help: str
    declare: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


COMMANDS: dict[str, Command] = {
    "demo": Command("send realistic runs and watch them being metered", demo.add_arguments, demo.run),
    "up": Command("start the stack", up.add_up_arguments, up.up),
    "replay": Command("publish dead letters again", replay.add_arguments, replay.run),
    "reconcile": Command("compute everything anew and compare", reconcile.add_arguments, reconcile.run),
    "exports": Command("billing records for other systems", exports.add_arguments, exports.run),
    "correct": Command("correct what runs cost, or charge late usage", correct.add_arguments, correct.run),
    "checkpoint": Command("copy Valkey's state now", checkpoints.add_arguments, checkpoints.run),
    "rebuild": Command("restore what Valkey lost", rebuild.add_arguments, rebuild.run),
    "warehouse": Command("the history's schema, and who may read it", warehouse.add_arguments, warehouse.run),
    "secrets": Command("check what Vault is to deliver", secrets.add_arguments, secrets.run),
    "doctor": Command("look for what is wrong, and say what to do", doctor.add_arguments, doctor.run),
    "status": Command("show what runs", up.add_json_argument, up.status),
    "down": Command("stop the stack", up.add_json_argument, up.down),
}


def main() -> None:
    """Parse the command line, run one subcommand, exit with its status."""
    parser = argparse.ArgumentParser(prog="runmeter", description=__doc__.splitlines()[0])
    subparsers = parser.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        command.declare(subparsers.add_parser(name, help=command.help))
    args = parser.parse_args()
    try:
        sys.exit(COMMANDS[args.command].run(args))
    except StackError as error:
        sys.exit(f"runmeter: {error}")


if __name__ == "__main__":
    main()
