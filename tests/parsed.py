"""Python source as a tree."""

from __future__ import annotations

import ast
import gc


def parsed(source: str) -> ast.Module:
    """Parse source.

    Before 3.11.8 a garbage collection in the middle may let another thread parse, and then the two spoil each
    other's count of depth: a `SystemError` (python/cpython#106905).
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        if collecting:
            gc.enable()
