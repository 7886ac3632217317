"""What the steps take."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from schemas.directory import Branding, Limits
from schemas.events import Name


class Configuration(Struct, frozen=True, kw_only=True):
    """What an instance's owners decide. No `model`: the plan's first; `tools` `None`: all of the plan's."""

    model: Annotated[str, Meta(max_length=256)] = ""
    system_prompt: Annotated[str, Meta(max_length=32_768)] = ""
    greeting: Annotated[str, Meta(max_length=4_096)] = ""
    tools: Annotated[tuple[Name, ...], Meta(max_length=256)] | None = None
    branding: Branding = Branding()
    limits: Limits = Limits()
