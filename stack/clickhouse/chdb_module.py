"""The one import of chDB."""

from __future__ import annotations

import sys
from typing import Any


def load() -> Any:
    """Return chDB's native module.

    chDB imports pyarrow and pandas when it finds them, for results as Arrow or data frames, which the server
    never asks for: hiding them during the import saves a second of start and 60 MB. The native module is used
    and not the wrapper, since only it classifies statements and takes SQL as bytes.
    """
    unwanted = [name for name in ("pyarrow", "pandas", "numpy") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(unwanted))  # type: ignore[arg-type]
    try:
        from chdb import _chdb  # noqa: PLC0415
    finally:
        for name in unwanted:
            sys.modules.pop(name, None)
    return _chdb
