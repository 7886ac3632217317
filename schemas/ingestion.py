"""What a knowledge source is asked to become, and how far it is.

A source has versions: every change of it, a deletion too, asks for a higher one. Of each only the newest
counts, so both records may be seen twice, late or out of order. Wire form and limits as in `schemas.events`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.events import EVENT_VERSION, Count, Id, OptionalId, ShortText, UnixMs, Version

SourceKind = Literal["upload", "url", "site", "text", "qa"]
SourceAction = Literal["index", "delete"]
SourceStatus = Literal[
    "queued", "fetching", "parsing", "chunking", "embedding", "indexing", "ready", "failed", "deleted"
]
Url = Annotated[str, Meta(max_length=2_048)]


class IngestionRequest(Struct, frozen=True, kw_only=True):
    """A source is to be indexed, or deleted (topic `ingestion.requested`).

    `blob` is the SHA-256 of the bytes of an upload, a text or a list of questions and answers, in the blob
    store under the source's id; `url` is where the others begin.
    """

    v: Version = EVENT_VERSION
    tenant_id: Id
    org_id: Id
    instance_id: Id
    source_id: Id
    #: Grows with every request about the source.
    version: Count
    action: SourceAction = "index"
    kind: SourceKind
    title: ShortText = ""
    blob: OptionalId = ""
    url: Url = ""
    max_pages: Count = 1
    max_depth: Count = 0
    #: Of what is fetched from addresses: what the plan has room for; 0: as much as the worker allows.
    max_bytes: Count = 0
    requested_at_ms: UnixMs


class SourceProgress(Struct, frozen=True, kw_only=True):
    """How far a version of a source is (topic `ingestion.progress`).

    Of one version the record with the highest `(attempt_ms, seq)` counts: an attempt begins anew after its
    worker died. `done` of `total` is what the stage has behind it, in `unit`s.
    """

    v: Version = EVENT_VERSION
    tenant_id: Id
    org_id: Id
    instance_id: Id
    source_id: Id
    version: Count
    attempt_ms: UnixMs
    seq: Count
    status: SourceStatus
    done: Count = 0
    total: Count = 0
    unit: ShortText = ""
    pages: Count = 0
    chunks: Count = 0
    tokens: Count = 0
    #: Of `ready`: what was fetched for it; 0 where an earlier attempt had fetched it already.
    bytes: Count = 0
    #: Of `ready`: what its chunks were embedded with.
    model: Annotated[str, Meta(max_length=256)] = ""
    #: Of `failed`: a stable word, and what its owner can do about it.
    error_code: ShortText = ""
    error: ShortText = ""
    #: Pages of a site that could not be read, each with its reason.
    page_errors: Annotated[list[ShortText], Meta(max_length=20)] = []
    occurred_at_ms: UnixMs
