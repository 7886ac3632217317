"""Reading a chat-completions request, with OpenAI's complaints about a bad one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from stack.provider.errors import ApiError

MODELS = ("gpt-4o-mini", "gpt-4o", "gpt-4.1", "gpt-4.1-mini", "claude-sonnet-4-5")

_Limit = Annotated[int, Meta(ge=1, le=1_000_000)] | None


class StreamOptions(Struct):
    """`include_usage`: a last chunk says what was used."""

    include_usage: bool | None = None


class Function(Struct):
    """A function the model may call; `parameters` is its JSON schema."""

    name: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_-]+$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None


class OfferedTool(Struct):
    """An entry of `tools`."""

    function: Function
    type: Literal["function"] = "function"


class _NamedFunction(Struct):
    name: str


class NamedTool(Struct):
    """`tool_choice` for one function that must be called."""

    function: _NamedFunction
    type: Literal["function"] = "function"


class Order(Struct):
    """A request, as far as it changes the answer; other members are ignored."""

    model: str
    messages: Annotated[list[dict[str, Any]], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: _Limit = None
    max_completion_tokens: _Limit = None
    tools: Annotated[list[OfferedTool], Meta(min_length=1, max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    n: Annotated[int, Meta(ge=1, le=1)] | None = None

    @property
    def limit(self) -> int:
        """How many tokens the answer may have; 0: any number."""
        return self.max_completion_tokens or self.max_tokens or 0

    @property
    def wants_usage(self) -> bool:
        """Whether the stream ends with a chunk of usage."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)


class _Part(Struct):
    type: str
    text: str = ""


class _CalledFunction(Struct):
    name: str
    arguments: str


class _Call(Struct):
    id: str
    function: _CalledFunction


class _Message(Struct):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[_Part] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None


_decode = msgspec.json.Decoder(Order).decode


def read(body: bytes) -> Order:
    """Return the request. Raises `ApiError`: 400 for what cannot be read, 404 for a model there is not."""
    try:
        order = _decode(body)
        messages = msgspec.convert(order.messages, list[_Message])
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at ")
        param = place.strip("`").removeprefix("$").lstrip(".") or None
        if param and param.startswith("["):
            param = f"messages{param}"
        raise ApiError(400, "invalid_value", f"Invalid request: {problem}.", param) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ApiError(400, None, "We could not parse the JSON body of your request.") from None
    if order.model not in MODELS:
        detail = f"The model `{order.model[:100]}` does not exist or you do not have access to it."
        raise ApiError(404, "model_not_found", detail, "model")
    if order.stream_options is not None and not order.stream:
        detail = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise ApiError(400, None, detail, "stream_options")
    if order.tools is None and order.tool_choice not in {None, "none"}:
        detail = "'tool_choice' is only allowed when 'tools' are specified."
        raise ApiError(400, None, detail, "tool_choice")
    if isinstance(order.tool_choice, NamedTool):
        name = order.tool_choice.function.name
        if name not in {tool.function.name for tool in order.tools or ()}:
            raise ApiError(400, None, f"Tool choice '{name}' not found in 'tools'.", "tool_choice")
    _check_conversation(messages)
    return order


def _check_conversation(messages: list[_Message]) -> None:
    """Raise `ApiError` unless every tool call is answered, right after it, and nothing else is."""
    open_calls: set[str] = set()
    for at, message in enumerate(messages):
        place = f"messages.[{at}]"
        if message.role == "tool":
            if message.tool_call_id not in open_calls:
                detail = "messages with role 'tool' must be a response to a preceding 'tool_calls'."
                raise ApiError(400, None, f"Invalid parameter: {detail}", f"{place}.role")
            open_calls.discard(message.tool_call_id)
        elif open_calls:
            _unanswered(open_calls)
        if message.role == "assistant" and message.tool_calls:
            open_calls = {call.id for call in message.tool_calls}
        elif message.content is None:
            raise ApiError(400, "invalid_type", "Invalid value for 'content': got null.", f"{place}.content")
    if open_calls:
        _unanswered(open_calls)


def _unanswered(calls: set[str]) -> None:
    detail = (
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        f"'tool_call_id'. These did not have a response: {', '.join(sorted(calls))[:500]}"
    )
    raise ApiError(400, None, detail, "messages")
