"""OpenAI's request as a run's. What cannot be honoured is refused by name."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gateway.openai.errors import UnsupportedParameter
from gateway.openai.models import ChatRequest
from gateway.requests import RunRequest
from kit.problems import InvalidRequest
from schemas.runner import Message

#: Parameters of OpenAI's that an instance has not, with the values that ask for nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "frequency_penalty": (0,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    # Without tools there is nothing to call in parallel.
    "parallel_tool_calls": (True, False),
    "prediction": (),
    "presence_penalty": (0,),
    "reasoning_effort": (),
    "response_format": ({"type": "text"},),
    "seed": (),
    "service_tier": ("auto", "default"),
    "stop": ([], ""),
    "store": (False,),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
    "top_p": (1,),
    "verbosity": (),
    "web_search_options": (),
}
_REMEDY = {
    "tools": "an instance calls its own tools; choose them in the console",
    "functions": "an instance calls its own tools; choose them in the console",
    "n": "ask once for each answer",
    "response_format": "only text is answered; ask for the form in a message",
}
#: Hints to OpenAI's own caches, which say nothing about the answer.
_HINTS = frozenset({"prompt_cache_key", "prompt_cache_retention"})
_KNOWN = frozenset(ChatRequest.__struct_fields__)
#: What an answer of ours has, as the official client sends it back, that says nothing.
_EMPTY: tuple[Any, ...] = (None, [], {})
_PATH = re.compile(r"`\$\.([^`]+)`")

_decode = msgspec.json.Decoder().decode


def parse(body: bytes) -> ChatRequest:
    """Return the request. Raises `UnsupportedParameter`, or `InvalidRequest` naming what is wrong."""
    try:
        raw = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}") from None
    if not isinstance(raw, dict):
        raise InvalidRequest("the body has to be a JSON object")
    asked = {name: value for name, value in raw.items() if _is_for_us(name, value)}
    if isinstance(asked.get("messages"), list):
        asked["messages"] = [_message(at, message) for at, message in enumerate(asked["messages"])]
    try:
        return msgspec.convert(asked, ChatRequest)
    except msgspec.ValidationError as error:
        raise _invalid(error) from None


def as_run(asked: ChatRequest) -> RunRequest:
    """Return what the instance is asked. Raises `InvalidRequest`."""
    try:
        return msgspec.convert(
            {
                "messages": tuple(Message(message.role, message.text()) for message in asked.messages),
                "stream": asked.stream,
                "model": asked.model,
                "max_tokens": asked.max_completion_tokens or asked.max_tokens,
                "temperature": asked.temperature,
                "metadata": asked.metadata,
                "end_user": asked.user or asked.safety_identifier,
            },
            RunRequest,
        )
    except msgspec.ValidationError as error:
        raise _invalid(error) from None


def _is_for_us(name: str, value: Any) -> bool:
    """Return whether a parameter is to be honoured; it is not if it asks for nothing."""
    if value is None or name in _HINTS:
        return False
    if name in _KNOWN:
        return True
    if name not in _NEUTRAL:
        raise UnsupportedParameter(f"there is no parameter {name!r}: leave it out", param=name[:64])
    # `True == 1`: a value is neutral only as the type it is.
    if not any(type(value) is type(same) and value == same for same in _as_numbers(_NEUTRAL[name])):
        remedy = _REMEDY.get(name, "leave it out")
        raise UnsupportedParameter(f"{name!r} cannot be honoured here: {remedy}", param=name)
    return False


def _as_numbers(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the values, whole numbers as JSON's other spelling (`1.0`), too."""
    return values + tuple(float(value) for value in values if type(value) is int)


def _message(at: int, message: Any) -> Any:
    """Return a message without what says nothing, such as `"tool_calls": null`."""
    if not isinstance(message, dict):
        return message
    role = message.get("role")
    if role == "developer":
        # OpenAI's newer name for it.
        message = {**message, "role": "system"}
    elif role not in ("system", "user", "assistant"):
        raise UnsupportedParameter(
            f"messages have the roles system, user and assistant; {str(role)[:32]!r} cannot be honoured here",
            param=f"messages[{at}].role",
        )
    if isinstance(content := message.get("content"), list):
        for part in content:
            if isinstance(part, dict) and part.get("type") != "text":
                raise UnsupportedParameter(
                    "only text is understood: send parts of the type 'text'", param=f"messages[{at}].content"
                )
    kept = {name: value for name, value in message.items() if name == "content" or value not in _EMPTY}
    for name in kept.keys() - {"role", "content"}:
        raise UnsupportedParameter(
            f"{name[:64]!r} of a message cannot be honoured here: leave it out",
            param=f"messages[{at}].{name[:64]}",
        )
    return kept


def _invalid(error: msgspec.ValidationError) -> InvalidRequest:
    found = _PATH.search(str(error))
    return InvalidRequest(str(error), param=found[1]) if found else InvalidRequest(str(error))
