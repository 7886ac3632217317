"""The command itself: what it offers is there, and asking what that is takes no time."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys

import pytest

from stack.cli import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_where_it_is_said_to_be(name: str) -> None:
    command = COMMANDS[name]
    command.declares(argparse.ArgumentParser())
    assert callable(getattr(importlib.import_module(command.module), command.run))


def test_help_imports_no_service() -> None:
    code = """
import sys
from stack import cli
sys.argv = ["runmeter", "--help"]
try:
    cli.main()
finally:
    print(sorted(name for name in sys.modules if name.startswith(("stack.", "streams"))))
"""
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "reconcile" in asked.stdout
    assert "['stack.cli', 'stack.errors']" in asked.stdout
