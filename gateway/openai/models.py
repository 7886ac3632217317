"""Chat completions on the wire (https://platform.openai.com/docs/api-reference/chat)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from schemas.runner import Citation

FinishReason = Literal["stop", "length"]


class TextPart(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A piece of a message; several are joined by line breaks."""

    type: Literal["text"]
    text: str


class ChatMessage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One message. The instance's own prompt stands before all of them."""

    role: Literal["system", "user", "assistant"]
    content: str | Annotated[tuple[TextPart, ...], Meta(max_length=256)]

    def text(self) -> str:
        """Return the content as one text."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content)


class StreamOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`include_usage`: one more chunk, the last, has the usage."""

    include_usage: bool = False
    include_obfuscation: Literal[False] = False


class ChatRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of a chat completion's parameters an instance honours. Without a `model`: the instance's own."""

    messages: Annotated[tuple[ChatMessage, ...], Meta(min_length=1, max_length=1_000)]
    model: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    max_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    user: Annotated[str, Meta(max_length=128)] = ""
    safety_identifier: Annotated[str, Meta(max_length=128)] = ""
    metadata: Annotated[
        dict[Annotated[str, Meta(min_length=1, max_length=64)], Annotated[str, Meta(max_length=512)]],
        Meta(max_length=16),
    ] = {}

    def __post_init__(self) -> None:
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise ValueError("give max_tokens or max_completion_tokens, not both")


class CompletionUsage(Struct, frozen=True, kw_only=True):
    """What was metered, in tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class CompletionMessage(Struct, frozen=True, kw_only=True):
    """The answer."""

    content: str
    role: Literal["assistant"] = "assistant"
    refusal: None = None


class Choice(Struct, frozen=True, kw_only=True):
    """The only one there is."""

    message: CompletionMessage
    finish_reason: FinishReason
    index: Literal[0] = 0
    logprobs: None = None


class ChatCompletion(Struct, frozen=True, kw_only=True):
    """A finished run. `id` is the run's: `GET /v1/runs/{id}` says what it cost. `created`: Unix seconds.

    `citations`, which OpenAI does not have, is there where the text refers to passages as `[number]`.
    """

    id: str
    created: int
    model: str
    choices: tuple[Choice]
    usage: CompletionUsage
    object: Literal["chat.completion"] = "chat.completion"
    citations: tuple[Citation, ...] | msgspec.UnsetType = msgspec.UNSET


class Delta(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a chunk adds."""

    role: Literal["assistant", ""] = ""
    content: str | msgspec.UnsetType = msgspec.UNSET


class ChunkChoice(Struct, frozen=True, kw_only=True):
    """The only one there is."""

    delta: Delta
    finish_reason: FinishReason | None = None
    index: Literal[0] = 0
    logprobs: None = None


class Chunk(Struct, frozen=True, kw_only=True):
    """One piece of a streamed answer. `usage` is there if it was asked for: null but in the last chunk.

    `citations` is in the last chunk, where the text refers to passages as `[number]`.
    """

    id: str
    created: int
    model: str
    choices: tuple[ChunkChoice, ...]
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    usage: CompletionUsage | msgspec.UnsetType | None = msgspec.UNSET
    citations: tuple[Citation, ...] | msgspec.UnsetType = msgspec.UNSET


class Model(Struct, frozen=True, kw_only=True):
    """A model that the instance may use. `created`: when the instance was, in Unix seconds."""

    id: str
    created: int
    object: Literal["model"] = "model"
    owned_by: str = "runmeter"


class ModelList(Struct, frozen=True, kw_only=True):
    """The instance's models, its default one first."""

    data: tuple[Model, ...]
    object: Literal["list"] = "list"


class Failed(Struct, frozen=True, kw_only=True):
    """What went wrong, and what would help. `code` is stable; `param` names the parameter, if it is one."""

    message: str
    type: str
    code: str | None
    param: str | None = None


class ErrorBody(Struct, frozen=True, kw_only=True):
    """Every error's body."""

    error: Failed


encode: Any = msgspec.json.Encoder().encode
