"""A chat-completions request: its shape, and OpenAI's complaints about a bad one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from stack.model.errors import ApiError

_Limit = Annotated[int, Meta(ge=1, le=1_000_000)] | None
_Stop = Annotated[str, Meta(min_length=1, max_length=500)]


class Part(Struct):
    """A part of a message; parts without text (images, sound) say nothing to this model."""

    type: str
    text: str = ""


class CalledFunction(Struct):
    """`arguments` is JSON as the model wrote it."""

    name: str
    arguments: str = ""


class ToolCall(Struct):
    """A call an earlier answer asked for."""

    id: str
    function: CalledFunction
    type: Literal["function"] = "function"


class Message(Struct):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


class Function(Struct):
    """A function the model may call; `parameters` is its JSON schema."""

    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(Struct):
    """An entry of `tools`."""

    function: Function
    type: Literal["function"] = "function"


class _FunctionName(Struct):
    name: str


class NamedChoice(Struct):
    """`tool_choice` for one function."""

    function: _FunctionName
    type: Literal["function"] = "function"


class StreamOptions(Struct):
    """`include_usage`: a last chunk says what was used."""

    include_usage: bool | None = None


class ChatRequest(Struct):
    """The members that change the answer; others are ignored."""

    model: str
    messages: Annotated[list[Message], Meta(min_length=1, max_length=10_000)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: _Limit = None
    max_completion_tokens: _Limit = None
    stop: _Stop | Annotated[list[_Stop], Meta(max_length=4)] | None = None
    seed: int | None = None
    n: Annotated[int, Meta(ge=1, le=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    tools: Annotated[list[Tool], Meta(min_length=1, max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedChoice | None = None
    parallel_tool_calls: bool | None = None

    @property
    def limit(self) -> int | None:
        """How many tokens the answer may have."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def stops(self) -> list[str]:
        """Texts the answer ends before."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with a chunk of usage."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)


_decode = msgspec.json.Decoder(ChatRequest).decode


def read(body: bytes) -> ChatRequest:
    """Return the request. Raises `ApiError` 400."""
    try:
        request = _decode(body)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `")
        param = place.rstrip("`").removeprefix("$").lstrip(".") or None
        raise ApiError(400, f"Invalid request: {problem}.", code="invalid_value", param=param) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ApiError(400, "We could not parse the JSON body of your request.") from None
    if request.stream_options is not None and not request.stream:
        raise _bad("'stream_options' is only allowed when 'stream' is enabled.", "stream_options")
    _check_choice(request)
    _check_turns(request.messages)
    return request


def _bad(message: str, param: str) -> ApiError:
    return ApiError(400, message, code="invalid_value", param=param)


def _check_choice(request: ChatRequest) -> None:
    offered = {tool.function.name for tool in request.tools or ()}
    choice = request.tool_choice
    if choice not in {None, "none"} and not offered if not isinstance(choice, NamedChoice) else not offered:
        raise _bad("'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")
    if isinstance(choice, NamedChoice) and choice.function.name not in offered:
        raise _bad(f"Tool choice '{choice.function.name[:64]}' not found in 'tools'.", "tool_choice")


def _check_turns(messages: list[Message]) -> None:
    """Raise `ApiError` unless every tool call is answered right after it, and nothing else is."""
    waiting: set[str] = set()
    for at, message in enumerate(messages):
        if message.role == "tool":
            if message.tool_call_id not in waiting:
                detail = "messages with role 'tool' must be a response to a preceding 'tool_calls'."
                raise _bad(detail, f"messages[{at}].role")
            waiting.discard(message.tool_call_id)
        elif waiting:
            break
        if message.role == "assistant" and message.tool_calls:
            waiting = {call.id for call in message.tool_calls}
        elif message.content is None:
            raise _bad("Invalid value for 'content': got null.", f"messages[{at}].content")
    if waiting:
        missing = ", ".join(sorted(waiting))[:300]
        raise _bad(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. These did not have a response: {missing}",
            "messages",
        )
