"""`/api/v1/instances/{id}/sources…` and `/api/v1/instances/{id}/knowledge:search`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated
from urllib.parse import unquote

from fastapi import APIRouter, Path, Query, Request, Response

from console_api.auth.service import PrincipalDep
from console_api.control.plane import ControlDep, ReadDep, WriteDep
from console_api.etags import ReadVersionDep, tag
from console_api.knowledge import service
from console_api.knowledge.models import (
    Answer,
    Asked,
    NewSource,
    PiecePage,
    Source,
    SourceChange,
    SourcePage,
    Written,
)
from console_api.knowledge.multipart import FormFile
from console_api.knowledge.running import KnowledgeDep

router = APIRouter(prefix="/api/v1/instances/{instance_id}", tags=["knowledge"])

InstanceId = Annotated[str, Path(min_length=1, max_length=128, examples=["inst_1"])]
SourceId = Annotated[str, Path(min_length=1, max_length=128, examples=["src_01kav3"])]

_MAX_NAME = 200
_UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": {"type": "string", "format": "binary"}},
                    "required": ["file"],
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    },
    "parameters": [
        {
            "name": "X-Filename",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "maxLength": 1024},
            "description": "Of a body that is the file itself; percent-encoded where it is not ASCII",
        }
    ],
}


@router.get("/sources", summary="The knowledge sources of an instance, newest first")
async def sources(
    *,
    instance_id: InstanceId,
    session: ReadDep,
    knowledge: KnowledgeDep,
    principal: PrincipalDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(max_length=1024)] = None,
) -> SourcePage:
    return await service.page(session, knowledge, principal, instance_id, limit=limit, cursor=cursor)


@router.post("/sources", status_code=201, summary="Add an address, a site, a text, or questions and answers")
async def create(
    instance_id: InstanceId,
    wanted: NewSource,
    control: ControlDep,
    knowledge: KnowledgeDep,
    principal: PrincipalDep,
) -> Source:
    return await service.create(control, knowledge, principal, instance_id, wanted)


@router.post("/sources:upload", status_code=201, summary="Add a file", openapi_extra=_UPLOAD_BODY)
async def upload(
    instance_id: InstanceId,
    request: Request,
    control: ControlDep,
    knowledge: KnowledgeDep,
    principal: PrincipalDep,
) -> Source:
    content_type = request.headers.get("content-type", "")
    content: AsyncIterator[bytes] = request.stream()
    name = unquote(request.headers.get("x-filename", ""))
    if content_type.startswith("multipart/form-data"):
        form = FormFile(content_type, content)
        await form.begin()
        name, content = form.filename, form.content()
    return await service.upload(
        control, knowledge, principal, instance_id, filename=_name(name), content=content
    )


@router.get("/sources/{source_id}", summary="A source, and how far it is")
async def source(
    instance_id: InstanceId, source_id: SourceId, session: ReadDep, principal: PrincipalDep
) -> Source:
    return await service.source(session, principal, instance_id, source_id)


@router.get("/sources/{source_id}/chunks", summary="What was read of a source, piece by piece")
async def chunks(
    *,
    instance_id: InstanceId,
    source_id: SourceId,
    control: ControlDep,
    knowledge: KnowledgeDep,
    principal: PrincipalDep,
    begin: Annotated[int, Query(ge=0, le=1_000_000, description="The ordinal of the first one")] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> PiecePage:
    return await service.chunks(
        control, knowledge, principal, instance_id, source_id=source_id, begin=begin, limit=limit
    )


@router.get("/sources/{source_id}/content", summary="What was written: a text, or questions and answers")
async def written(
    *,
    instance_id: InstanceId,
    source_id: SourceId,
    control: ControlDep,
    knowledge: KnowledgeDep,
    principal: PrincipalDep,
    response: Response,
) -> Written:
    content, version = await service.written(control, knowledge, principal, instance_id, source_id)
    tag(response, version)
    return content


@router.put("/sources/{source_id}/content", summary="Replace what was written; it is read anew")
async def rewrite(
    *,
    instance_id: InstanceId,
    source_id: SourceId,
    wanted: Written,
    control: ControlDep,
    knowledge: KnowledgeDep,
    principal: PrincipalDep,
    expected: ReadVersionDep,
    response: Response,
) -> Source:
    source = await service.rewrite(
        control, knowledge, principal, instance_id, source_id, wanted=wanted, read_version=expected
    )
    tag(response, source.version)
    return source


@router.patch("/sources/{source_id}", summary="Change how often a source is read anew")
async def change(
    *,
    instance_id: InstanceId,
    source_id: SourceId,
    wanted: SourceChange,
    session: WriteDep,
    control: ControlDep,
    principal: PrincipalDep,
) -> Source:
    return await service.change(
        session, principal, instance_id, source_id, wanted=wanted, now_ms=control.clock()
    )


@router.delete("/sources/{source_id}", status_code=202, summary="Delete a source and all that is known of it")
async def delete(
    instance_id: InstanceId,
    source_id: SourceId,
    session: WriteDep,
    control: ControlDep,
    principal: PrincipalDep,
) -> Source:
    return await service.delete(session, principal, instance_id, source_id, control.clock())


@router.post("/sources/{source_id}:resync", status_code=202, summary="Read a source anew")
async def resync(
    *,
    instance_id: InstanceId,
    source_id: SourceId,
    session: WriteDep,
    control: ControlDep,
    knowledge: KnowledgeDep,
    principal: PrincipalDep,
) -> Source:
    return await service.resync(session, knowledge, principal, instance_id, source_id, now_ms=control.clock())


@router.post("/knowledge:search", summary="What does the instance know about this?")
async def search(
    instance_id: InstanceId,
    asked: Asked,
    control: ControlDep,
    knowledge: KnowledgeDep,
    principal: PrincipalDep,
) -> Answer:
    return await service.search(control, knowledge, principal, instance_id, asked)


def _name(name: str) -> str:
    """Return a file's name without folders: it is shown, and never a path."""
    plain = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(char for char in plain if char.isprintable()).strip()[-_MAX_NAME:]
    return kept or "Untitled file"
