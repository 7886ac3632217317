"""One model call through the `openai` client, against any OpenAI-compatible endpoint.

The client makes the request (authentication, retries before the first byte, time-outs); the chunks of the
stream are decoded here, because building its typed objects costs more than all the rest of a run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
import httpx2
import msgspec
import openai
from msgspec import Struct
from openai import AsyncOpenAI, DefaultAioHttpClient
from openai._constants import RAW_RESPONSE_HEADER
from openai._response import AsyncAPIResponse
from pydantic import SecretStr

from kit.settings import RunnerSettings
from schemas.events import Count


class ModelFailed(Exception):
    """The model did not answer, or broke off. `code` is stable."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code

    @property
    def is_ours(self) -> bool:
        """Whether the request itself is refused, which another endpoint would do, too."""
        return self.code in ("upstream_400", "upstream_413", "upstream_422")


class _PromptDetails(Struct):
    cached_tokens: Count | None = 0


class _CompletionDetails(Struct):
    reasoning_tokens: Count | None = 0


class ModelUsage(Struct):
    """What the provider says a call used; `prompt_tokens` includes the cached ones.

    Bounded as the events are: a count that no event may carry is unreadable here, and never published.
    """

    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None

    @property
    def cached(self) -> int:
        details = self.prompt_tokens_details
        return min(self.prompt_tokens, (details.cached_tokens or 0) if details else 0)

    @property
    def reasoning(self) -> int:
        details = self.completion_tokens_details
        return min(self.completion_tokens, (details.reasoning_tokens or 0) if details else 0)


class _FunctionDelta(Struct):
    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(Struct):
    """A piece of a tool call the model is writing."""

    index: int = 0
    id: str | None = None
    function: _FunctionDelta | None = None


class _Delta(Struct):
    content: str | None = None
    tool_calls: list[ToolCallDelta] | None = None


class _Choice(Struct):
    delta: _Delta
    finish_reason: str | None = None


class Chunk(Struct):
    """One chunk of a streamed chat completion."""

    choices: list[_Choice] = []
    usage: ModelUsage | None = None
    error: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(Chunk).decode
_CALL_ID = "X-Client-Request-Id"
#: Told that the provider has been asked, or that it refused and so has used nothing.
Asked = Callable[[bool], None]


@dataclass(frozen=True)
class Endpoint:
    """Where a model is asked. `model`: the only one it has; empty: whichever is asked for."""

    base_url: str
    api_key: SecretStr
    model: str = ""
    #: How often the client asks again before anything was answered.
    retries: int = 2


def endpoints(settings: RunnerSettings) -> tuple[Endpoint, ...]:
    """Return the endpoints in the order they are asked."""
    first = Endpoint(settings.model_base_url, settings.model_api_key)
    if not settings.fallback_base_url:
        return (first,)
    second = Endpoint(settings.fallback_base_url, settings.fallback_api_key, settings.fallback_model)
    return (first, second)


class ModelClient:
    """A pooled client to one endpoint of a model provider."""

    def __init__(self, settings: RunnerSettings, endpoint: Endpoint) -> None:
        self._model = endpoint.model
        limits = httpx2.Limits(max_connections=settings.max_concurrent_runs, max_keepalive_connections=256)
        timeout = httpx2.Timeout(settings.model_timeout_ms / 1000, connect=5.0)
        self._client = AsyncOpenAI(
            base_url=endpoint.base_url,
            api_key=endpoint.api_key.get_secret_value() or "none",
            timeout=timeout,
            max_retries=endpoint.retries,
            http_client=DefaultAioHttpClient(
                limits=limits,
                timeout=timeout,
                event_hooks={"request": [self._on_request], "response": [self._on_response]},
            ),
        )
        self._told: dict[str, Asked] = {}

    def model_for(self, wanted: str) -> str:
        """Return the model that answers here for the one that is wanted."""
        return self._model or wanted

    async def _on_request(self, request: httpx2.Request) -> None:
        if (told := self._told.get(request.headers.get(_CALL_ID, ""))) is not None:
            told(True)

    async def _on_response(self, response: httpx2.Response) -> None:
        if response.is_error and (told := self._told.get(response.request.headers.get(_CALL_ID, ""))):
            told(False)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def _post(self, request: dict[str, Any], call_id: str) -> AsyncAPIResponse[Any]:
        # What `chat.completions.create` does, less the walk over the request's types, which is already right.
        response: Any = await self._client.post(
            "/chat/completions",
            cast_to=object,
            body={**request, "stream": True, "stream_options": {"include_usage": True}},
            options={"headers": {_CALL_ID: call_id, RAW_RESPONSE_HEADER: "stream"}},
        )
        return cast(AsyncAPIResponse[Any], response)

    async def stream(self, request: dict[str, Any], call_id: str, asked: Asked) -> AsyncIterator[Chunk]:
        """Yield a call's chunks. Raises `ModelFailed`."""
        self._told[call_id] = asked
        try:
            response = await self._post(request, call_id)
            try:
                async for chunk in _chunks(response.iter_lines()):
                    yield chunk
            finally:
                await response.close()
        except openai.APIStatusError as error:
            raise ModelFailed(f"upstream_{error.status_code}", _told(error)) from error
        except (openai.APIError, httpx2.HTTPError, OSError) as error:
            raise _broken(error) from error
        except msgspec.DecodeError as error:
            raise ModelFailed("upstream_malformed", "the model sent something unreadable") from error
        finally:
            del self._told[call_id]


async def _chunks(lines: AsyncIterator[str]) -> AsyncIterator[Chunk]:
    """Yield the chunks of an event stream up to `[DONE]`. Raises `ModelFailed` when it ends before."""
    async for line in lines:
        if not line.startswith("data:"):
            continue
        data = line[5:].strip()
        if data == "[DONE]":
            return
        chunk = _decode(data)
        if chunk.error is not None:
            raise ModelFailed("upstream_error", str(chunk.error.get("message", ""))[:300])
        yield chunk
    raise ModelFailed("upstream_cut", "the model's stream ended before it was done")


def _broken(error: BaseException) -> ModelFailed:
    """Return what became of a connection. The client calls a refused one a time-out."""
    cause: BaseException | None = error
    while cause is not None:
        match cause:
            case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
                return ModelFailed("upstream_unreachable", "the model cannot be reached")
            case aiohttp.ServerDisconnectedError():
                break
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, openai.APITimeoutError) and cause is None:
        return ModelFailed("upstream_timeout", "the model did not answer in time")
    return ModelFailed("upstream_cut", "the connection to the model broke off")


def _told(error: openai.APIStatusError) -> str:
    """Return what the provider said, without anything of the request."""
    body = error.body if isinstance(error.body, dict) else {}
    return str(body.get("message") or f"the model answered {error.status_code}")[:300]
