"""The seal is shared with the runner: see `kit.seal`."""

from __future__ import annotations

from kit.seal import CannotOpen, Seal, load_seal

__all__ = ["CannotOpen", "Seal", "load_seal"]
