"""The body of `POST /v1/runs`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import Request
from msgspec import Meta, Struct

from kit.problems import InvalidRequest
from schemas.runner import Message

_Text = Annotated[str, Meta(max_length=1_000_000)]
_Metadata = dict[Annotated[str, Meta(min_length=1, max_length=64)], Annotated[str, Meta(max_length=512)]]


class RunRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask an instance something: either `input`, or the `messages` of a conversation."""

    input: _Text | None = None
    messages: Annotated[tuple[Message, ...], Meta(max_length=1_000)] | None = None
    stream: bool = False
    model: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    metadata: Annotated[_Metadata, Meta(max_length=16)] = {}
    end_user: Annotated[str, Meta(max_length=128)] = ""
    #: Goes on with a conversation: send only what is new, earlier turns are remembered for a while.
    conversation_id: Annotated[str, Meta(max_length=128)] = ""

    def __post_init__(self) -> None:
        if (self.input is None) == (self.messages is None):
            raise ValueError("give exactly one of `input` and `messages`")
        if not self.input and not any(message.content for message in self.messages or ()):
            raise ValueError("there is nothing to answer: the input is empty")

    def conversation(self) -> tuple[Message, ...]:
        """Return the request as messages."""
        return self.messages if self.messages is not None else (Message("user", self.input or ""),)


_decoder = msgspec.json.Decoder(RunRequest)


def parse(body: bytes) -> RunRequest:
    """Return the request. Raises `InvalidRequest` naming what is wrong and where."""
    try:
        request: RunRequest = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidRequest(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}") from None
    return request


def idempotency_key(request: Request) -> str:
    """Return the `Idempotency-Key` header; empty if there is none. Raises `InvalidRequest`."""
    key = request.headers.get("idempotency-key", "")
    if len(key) > 255:
        raise InvalidRequest("Idempotency-Key may have at most 255 characters")
    return key
