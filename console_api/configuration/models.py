"""An instance's configuration on the wire."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from console_api.catalogue.models import EntitlementTerms
from schemas.events import MAX_EXACT

_Ceiling = Annotated[int, Field(ge=0, le=MAX_EXACT, description="0 leaves it to the plan")]
_Name = Annotated[str, Field(min_length=1, max_length=256)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


def _https(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme != "https" or not parts.hostname or parts.username):
        raise ValueError("a logo is at an https:// address without a user name")
    return url


class BrandingTerms(_Strict):
    """How the instance looks in its owner's pages."""

    title: str = Field(default="", max_length=100)
    colour: str = Field(default="", pattern="^(#[0-9a-fA-F]{6})?$", examples=["#0f766e"])
    logo_url: Annotated[str, Field(max_length=2_048), AfterValidator(_https)] = ""
    voice: str = Field(
        default="", max_length=500, description="How it speaks", examples=["Warm and brief; first names."]
    )
    position: Literal["right", "left"] = "right"


class OwnLimits(_Strict):
    """Limits of one's own: they only tighten the plan's."""

    requests_per_minute: _Ceiling = 0
    tokens_per_minute: _Ceiling = 0
    max_concurrent_runs: _Ceiling = 0
    daily_cap_micro: _Ceiling = 0
    monthly_cap_micro: _Ceiling = 0
    cap_output: bool = Field(
        default=True, description="Shorten an answer that cannot be paid in full rather than refuse it"
    )


class ConfigTerms(_Strict):
    """A configuration as its owners write it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "name": "Support agent",
                "model": "gpt-4o-mini",
                "system_prompt": "You answer questions about our delivery options. Be brief.",
                "greeting": "Hello! How can I help?",
                "tools": ["calculator"],
                "branding": {"title": "Ada's shop", "colour": "#0f766e"},
                "limits": {"daily_cap_micro": 5_000_000},
            }
        },
    )

    name: _Name
    model: str = Field(default="", max_length=256, description="One of the plan's; empty: the plan's first")
    system_prompt: str = Field(default="", max_length=32_768)
    greeting: str = Field(default="", max_length=4_096)
    tools: list[_Name] | None = Field(
        default=None, max_length=256, description="Some of the plan's; null: all of them"
    )
    branding: BrandingTerms = BrandingTerms()
    limits: OwnLimits = OwnLimits()


class ConfigView(ConfigTerms):
    """A configuration with its version, and the plan that bounds it."""

    instance_id: str
    version: int = Field(description="Grows with every change; the number in the ETag")
    updated_at_ms: int
    plan_code: str
    plan: EntitlementTerms = Field(description="What may be chosen from")

    def terms(self) -> ConfigTerms:
        """Return what its owners wrote."""
        return ConfigTerms.model_validate(self.model_dump(include=set(ConfigTerms.model_fields)))

    @classmethod
    def of(cls, terms: ConfigTerms, **rest: object) -> Self:
        return cls.model_validate({**terms.model_dump(), **rest})


class Reason(_Strict):
    """Why an operator does it; kept in the audit log."""

    reason: str = Field(min_length=1, max_length=500)
