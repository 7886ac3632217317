"""Knowledge sources on the wire."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from schemas.ingestion import SourceKind, SourceStatus

MAX_TEXT_CHARS = 400_000
MAX_PAIRS = 500


def _web_address(text: str) -> str:
    try:
        parts = urlsplit(text.strip())
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        valid = False
    if not valid:
        raise ValueError("give an address that begins with http:// or https://, without a password in it")
    return text.strip()


WebAddress = Annotated[str, Field(max_length=2_048), AfterValidator(_web_address)]


class Pair(BaseModel):
    """A question that visitors ask, and the answer to it."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(min_length=1, max_length=1_000)
    answer: str = Field(min_length=1, max_length=4_000)


Words = Annotated[str, Field(max_length=MAX_TEXT_CHARS, description="Plain text or Markdown")]
Pairs = Annotated[list[Pair], Field(max_length=MAX_PAIRS)]
ResyncHours = Annotated[
    int, Field(ge=0, le=8_760, description="It is read anew every so many hours; 0: only when asked to")
]


class NewSource(BaseModel):
    """What is to be known. Files go to `sources:upload`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"kind": "site", "url": "https://docs.example.com/", "max_pages": 50, "max_depth": 2}
        },
    )

    kind: Literal["url", "site", "text", "qa"]
    title: str = Field(default="", max_length=200)
    url: WebAddress | None = None
    max_pages: int = Field(default=50, ge=1, le=5_000, description="Of a site")
    max_depth: int = Field(default=2, ge=0, le=10, description="Of a site: links away from its first page")
    resync_hours: ResyncHours = 0
    text: Words = ""
    pairs: Pairs = []

    @model_validator(mode="after")
    def _has_what_it_is_made_of(self) -> Self:
        if (self.kind in ("url", "site")) != (self.url is not None):
            raise ValueError("a source of kind url or site has a url, and no other has")
        if (self.kind == "text") != bool(self.text.strip()):
            raise ValueError("a source of kind text has a text, and no other has")
        if (self.kind == "qa") != bool(self.pairs):
            raise ValueError("a source of kind qa has pairs, and no other has")
        if self.resync_hours and self.url is None:
            raise ValueError("only a source of kind url or site has resync_hours: others never change")
        return self


class Written(BaseModel):
    """What somebody wrote: of a source of kind `text` its text, of kind `qa` its pairs."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"title": "Returns", "text": "Send it back within 30 days.", "pairs": []}
        },
    )

    title: str = Field(default="", max_length=200, description="Empty: what it begins with")
    text: Words = ""
    pairs: Pairs = []


class SourceChange(BaseModel):
    """What is to be different about a source."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"resync_hours": 24}})

    resync_hours: ResyncHours


class Progress(BaseModel):
    """What the stage it is in has behind it."""

    done: int
    total: int = Field(description="0: not known yet")
    unit: str = Field(examples=["chunks"])


_EXAMPLE: JsonDict = {
    "source_id": "src_01kav3",
    "kind": "upload",
    "title": "Terms.pdf",
    "url": "",
    "size_bytes": 48_213,
    "version": 1,
    "status": "embedding",
    "progress": {"done": 64, "total": 210, "unit": "chunks"},
    "pages": 0,
    "chunks": 0,
    "tokens": 0,
    "error_code": "",
    "error": "",
    "page_errors": [],
    "model": "",
    "resync_hours": 0,
    "next_sync_ms": 0,
    "created_at_ms": 1_790_000_000_000,
    "created_by": "owner@example.com",
    "updated_at_ms": 1_790_000_004_000,
    "ready_at_ms": 0,
}


class Source(BaseModel):
    """A source, and how far its newest version is. Until that is `ready`, the one before is still known."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    source_id: str
    kind: SourceKind
    title: str
    url: str
    size_bytes: int
    version: int
    status: SourceStatus | Literal["deleting"]
    progress: Progress
    pages: int
    chunks: int
    tokens: int
    error_code: str = Field(examples=["encrypted"])
    error: str = Field(description="What went wrong, and what to do about it")
    page_errors: list[str] = Field(description="Pages of a site that could not be read")
    model: str = Field(description="What its readable chunks were embedded with")
    resync_hours: ResyncHours
    next_sync_ms: int = Field(description="When it is read anew by itself; 0: never")
    created_at_ms: int
    created_by: str
    updated_at_ms: int
    ready_at_ms: int = Field(description="When a version was last ready; 0: not yet")


class Quota(BaseModel):
    """How much an instance may know."""

    sources: int
    max_sources: int
    bytes: int
    max_bytes: int


class SourcePage(BaseModel):
    """One page of an instance's sources, newest first."""

    sources: list[Source]
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page")
    quota: Quota


class Piece(BaseModel):
    """A piece of a source, as an agent is given it."""

    ordinal: int
    section: str = Field(description="The headings it stands under")
    page: int = Field(description="0: it has no pages")
    title: str
    url: str
    tokens: int
    text: str


class PiecePage(BaseModel):
    """Some pieces of a source, in their order."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "version": 1,
                "total": 210,
                "chunks": [
                    {
                        "ordinal": 0,
                        "section": "Delivery",
                        "page": 2,
                        "title": "Terms.pdf",
                        "url": "",
                        "tokens": 8,
                        "text": "Parcels arrive within three working days.",
                    }
                ],
            }
        }
    )

    version: int = Field(description="Of the source, that is read now; 0: none is")
    total: int = Field(description="How many pieces there are")
    chunks: list[Piece]


class Asked(BaseModel):
    """A question."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"query": "How long is delivery?"}}
    )

    query: str = Field(min_length=1, max_length=2_000)
    limit: int = Field(default=5, ge=1, le=20)


class Found(BaseModel):
    """A piece of a source, with what it is cited by."""

    source_id: str
    chunk_id: str
    title: str
    url: str
    section: str
    page: int = Field(description="0: it has no pages")
    text: str
    score: float = Field(description="Ranks the hits of one answer; says nothing across answers")
    similarity: float = Field(description="Cosine of meaning, at most 1; 0 where only words matched")


class Answer(BaseModel):
    """What an instance knows about a question, best first."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "hits": [
                    {
                        "source_id": "src_01kav3",
                        "chunk_id": "5f0c",
                        "title": "Terms.pdf",
                        "url": "",
                        "section": "Delivery",
                        "page": 2,
                        "text": "Parcels arrive within three working days.",
                        "score": 0.0328,
                        "similarity": 0.71,
                    }
                ]
            }
        }
    )

    hits: list[Found]
