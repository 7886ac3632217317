"""Connectors on the wire."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

_Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]*\S[^\x00-\x1f]*$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class KindView(BaseModel):
    """A kind of connector, and what it has to be told."""

    kind: str = Field(examples=["slack"])
    title: str
    description: str
    settings_schema: dict[str, Any] = Field(description="JSON Schema of `settings`")
    credentials_schema: dict[str, Any] = Field(description="JSON Schema of `credentials`")
    for_visitors: bool = Field(description="What `for_visitors` is of a new one that does not say it")


class Catalogue(BaseModel):
    """All kinds."""

    kinds: list[KindView]


class NewConnector(_Strict):
    """A connector to be made."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "kind": "slack",
                "name": "Support channel",
                "settings": {"channel": "C0123456789"},
                "credentials": {"bot_token": "xoxb-0000000000-example"},
            }
        },
    )

    kind: str = Field(min_length=1, max_length=32)
    name: _Name
    enabled: bool = True
    for_visitors: bool | None = Field(
        default=None,
        description="Whether visitors of pages may use it. null: as its kind has it, which is yes where it"
        " only sends",
    )
    settings: dict[str, Any] = Field(default={}, max_length=50)
    credentials: dict[str, Any] = Field(default={}, max_length=20, description="Never shown again")


class ConnectorChange(_Strict):
    """What is to be different; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"enabled": False}})

    name: _Name | None = None
    enabled: bool | None = None
    for_visitors: bool | None = None
    settings: dict[str, Any] | None = Field(default=None, max_length=50)
    credentials: dict[str, Any] | None = Field(default=None, max_length=20, description="Never shown again")


class TestView(BaseModel):
    """What came of trying a connector."""

    __test__ = False

    passed: bool
    said: str = Field(description="What was reached, or what went wrong")
    at_ms: int


class ConnectorView(BaseModel):
    """A connector. Its credentials are never shown."""

    connector_id: str
    kind: str
    name: str
    enabled: bool
    for_visitors: bool = Field(description="Whether visitors of pages may use it, in runs of widgets")
    settings: dict[str, Any] = Field(description="As it is kept: of a REST API, the chosen operations")
    tools: list[str] = Field(description="Names of the tools that the agent gets; usage is metered by them")
    version: int
    created_by: str
    created_at_ms: int
    updated_at_ms: int
    last_test: TestView | None = Field(description="null: not tried since it was changed")


class ConnectorList(BaseModel):
    """All connectors of an instance, oldest first."""

    connectors: list[ConnectorView]
    max_connectors: int
