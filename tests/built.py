"""Programs that `make test-tools` puts into `build/bin`, or that the machine has."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_BUILT = Path(__file__).resolve().parents[1] / "build" / "bin"


def program(name: str) -> str | None:
    """Return the path of a program, `None` if there is none."""
    return shutil.which(name, path=f"{_BUILT}{os.pathsep}{os.environ['PATH']}")
