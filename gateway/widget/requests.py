"""What a page may ask of an instance: anybody can write it, and its owner pays."""

from __future__ import annotations

import msgspec

from gateway.keys import Caller
from gateway.requests import RunRequest
from kit.problems import InvalidRequest


def of_visitor(caller: Caller, request: RunRequest) -> RunRequest:
    """Return a widget's request as its visitor's. Raises `InvalidRequest` for what only an owner may say."""
    if request.model is not None:
        raise InvalidRequest("a widget cannot choose the model: leave out `model`")
    if any(message.role == "system" for message in request.messages or ()):
        raise InvalidRequest("a widget cannot instruct the agent: leave out messages of the role `system`")
    if not caller.visitor:
        if request.conversation_id:
            raise InvalidRequest("only a session has conversations: open one, or leave out `conversation_id`")
        return request
    if request.end_user:
        raise InvalidRequest("a session's end user is its visitor: leave out `end_user`")
    return msgspec.structs.replace(request, end_user=caller.visitor)


def idempotency_key(caller: Caller, key: str) -> str:
    """Return a visitor's key as one that no other visitor's equals. No header's value has a line break."""
    return f"{caller.key.key_id}\n{caller.visitor}\n{key}" if key else ""
