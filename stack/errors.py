"""What stops the stack from starting, said in one line with the remedy."""

from __future__ import annotations


class StackError(Exception):
    """Shown to the user as it is; the command then exits with 1."""
