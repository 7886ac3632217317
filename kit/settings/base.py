"""What all settings have in common, and how they are read."""

from __future__ import annotations

from functools import cache
from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read from the environment, once, and never changed."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="RUNMETER_")


Loaded = TypeVar("Loaded", bound=Settings)


@cache
def load(kind: type[Loaded]) -> Loaded:
    """Return the settings of one concern; stop the process with the remedy when a variable is wrong."""
    try:
        return kind()
    except ValidationError as error:
        prefix = str(kind.model_config.get("env_prefix", ""))
        lines = [
            f"{prefix}{'_'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
            for item in error.errors(include_input=False)
        ]
        raise SystemExit("invalid settings: " + "; ".join(lines)) from None
