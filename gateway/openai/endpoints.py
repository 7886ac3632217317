"""`POST /v1/chat/completions` and `GET /v1/models`. They translate; `RunService` decides."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from gateway import bodies, waiting
from gateway.access import AccessControl
from gateway.answers import Answer
from gateway.errors import UnknownModel
from gateway.execution import Run
from gateway.openai import openapi
from gateway.openai.answers import ChunkStream, completion
from gateway.openai.errors import OpenAIRoute, not_answered
from gateway.openai.models import ChatRequest, Model, ModelList, encode
from gateway.openai.requests import as_run, parse
from gateway.requests import idempotency_key
from gateway.service import Order, RunService
from kit import clock
from kit.hot_routes import StreamedResponse

router = APIRouter()

_JSON = "application/json"
_STREAM = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


async def create_chat_completion(request: Request) -> Response:
    access: AccessControl = request.app.state.access
    runs: RunService = request.app.state.runs
    caller = await access.secret(request, "runs:write", "openai")
    body = await bodies.read(request, request.app.state.settings.max_body_bytes)
    asked = parse(body)
    begun = await runs.begin(Order(caller, as_run(asked), "openai", idempotency_key(request), body))
    if asked.stream:
        return _streamed(begun, asked)
    if isinstance(begun, Answer):
        return _answered(begun, {"Idempotent-Replay": "true"}, clock.now_ms(), repeated=True)
    answer = await waiting.answer_of(request, begun)
    return _answered(answer, begun.headers, begun.lease.started_at_ms)


router.add_api_route(
    "/v1/chat/completions",
    create_chat_completion,
    methods=["POST"],
    route_class_override=OpenAIRoute,
    **openapi.CREATE_CHAT_COMPLETION,
)


async def list_models(request: Request) -> Response:
    return Response(encode(ModelList(data=tuple(await _models(request)))), media_type=_JSON)


router.add_api_route(
    "/v1/models", list_models, methods=["GET"], route_class_override=OpenAIRoute, **openapi.LIST_MODELS
)


async def get_model(request: Request) -> Response:
    wanted = request.path_params["model"]
    for model in await _models(request):
        if model.id == wanted:
            return Response(encode(model), media_type=_JSON)
    raise UnknownModel(f"{wanted[:64]!r} is not among the instance's models: GET /v1/models lists them")


# Some models' names have a slash in them.
router.add_api_route(
    "/v1/models/{model:path}",
    get_model,
    methods=["GET"],
    route_class_override=OpenAIRoute,
    **openapi.GET_MODEL,
)


async def _models(request: Request) -> list[Model]:
    access: AccessControl = request.app.state.access
    instance = (await access.secret(request, "runs:write", "openai")).instance
    others = (name for name in instance.models if name != instance.default_model)
    created = instance.created_at_ms // 1000
    return [Model(id=name, created=created) for name in (instance.default_model, *others)]


def _streamed(begun: Run | Answer, asked: ChatRequest) -> Response:
    usage = asked.stream_options.include_usage
    if isinstance(begun, Answer):
        chunks = ChunkStream(begun.run_id, begun.model, clock.now_ms() // 1000, include_usage=usage)
        pieces, headers = chunks.again(begun), {"Idempotent-Replay": "true", "X-Run-Id": begun.run_id}
    else:
        lease = begun.lease
        chunks = ChunkStream(lease.run_id, lease.model, lease.started_at_ms // 1000, include_usage=usage)
        pieces, headers = chunks.of(begun), {"X-Run-Id": lease.run_id, **begun.headers}
    return StreamedResponse(pieces, media_type="text/event-stream", headers={**_STREAM, **headers})


def _answered(answer: Answer, headers: dict[str, str], at_ms: int, *, repeated: bool = False) -> Response:
    if answer.status != "completed":
        return not_answered(answer, headers, repeated=repeated)
    headers = {**headers, "X-Run-Id": answer.run_id}
    return Response(encode(completion(answer, at_ms // 1000)), media_type=_JSON, headers=headers)
