"""What of OpenAI's parameters is honoured, and that everything else is refused by name."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.openai.errors import UnsupportedParameter
from gateway.openai.requests import as_run, parse
from kit.problems import InvalidRequest

_HELLO = [{"role": "user", "content": "Hello"}]


def parsed(**body: Any) -> Any:
    return as_run(parse(msgspec.json.encode({"messages": _HELLO, **body})))


def test_everything_that_is_honoured_reaches_the_run() -> None:
    run = parsed(
        messages=[
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "two"}]},
            {"role": "assistant", "content": "Three", "refusal": None, "tool_calls": None, "annotations": []},
            {"role": "user", "content": "Four"},
        ],
        model="gpt-4o",
        stream=True,
        stream_options={"include_usage": True},
        max_completion_tokens=7,
        temperature=0.5,
        user="user-1",
        metadata={"order": "17"},
    )

    assert [(m.role, m.content) for m in run.messages] == [
        ("system", "Be kind."),
        ("user", "One\ntwo"),
        ("assistant", "Three"),
        ("user", "Four"),
    ]
    assert (run.model, run.stream, run.max_tokens, run.temperature) == ("gpt-4o", True, 7, 0.5)
    assert (run.end_user, run.metadata) == ("user-1", {"order": "17"})
    assert parsed(max_tokens=9).max_tokens == 9
    assert parsed(safety_identifier="hashed").end_user == "hashed"


@pytest.mark.parametrize(
    "neutral",
    [
        {"n": 1},
        {"n": None},
        {"logprobs": False},
        {"tools": []},
        {"tools": None, "tool_choice": "auto"},
        {"response_format": {"type": "text"}},
        {"top_p": 1},
        {"top_p": 1.0},
        {"presence_penalty": 0.0, "frequency_penalty": 0},
        {"stop": None},
        {"seed": None},
        {"store": False},
        {"prompt_cache_key": "a"},
        {"logit_bias": {}},
    ],
)
def test_what_asks_for_nothing_is_let_through(neutral: dict[str, Any]) -> None:
    assert parsed(**neutral) == parsed()


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"n": 2}, "n"),
        ({"n": True}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format"),
        ({"top_p": 0.5}, "top_p"),
        ({"stop": ["END"]}, "stop"),
        ({"seed": 0}, "seed"),
        ({"store": True}, "store"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"logit_bias": {"50256": -100}}, "logit_bias"),
        ({"reasoning_effort": "high"}, "reasoning_effort"),
        ({"made_up": 1}, "made_up"),
        ({"messages": [{"role": "tool", "content": "4"}]}, "messages[0].role"),
        ({"messages": [{"role": "function", "content": "4"}]}, "messages[0].role"),
        ({"messages": [*_HELLO, {"role": "user", "content": "a", "name": "Ann"}]}, "messages[1].name"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content",
        ),
        (
            {"messages": [{"role": "assistant", "content": "", "tool_calls": [{"id": "a"}]}]},
            "messages[0].tool_calls",
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(asked: dict[str, Any], param: str) -> None:
    with pytest.raises(UnsupportedParameter) as refused:
        parsed(**asked)

    assert refused.value.extra["param"] == param


@pytest.mark.parametrize(
    "asked",
    [
        {"messages": []},
        {"messages": "Hello"},
        {"messages": ["Hello"]},
        {"messages": None},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": None}]},
        {"messages": [{"role": "user", "content": ""}]},
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        {"messages": [{"role": ["user"], "content": "a"}]},
        {"model": 4},
        {"max_tokens": 0},
        {"max_tokens": 5, "max_completion_tokens": 5},
        {"temperature": 3},
        {"stream": "yes"},
        {"stream_options": {"include_obfuscation": True}},
        {"user": "u" * 129},
        {"metadata": {"a": 1}},
    ],
)
def test_what_is_not_valid_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        parsed(**asked)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"a"', b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse(body)


def test_the_parameter_that_is_wrong_is_named() -> None:
    with pytest.raises(InvalidRequest) as refused:
        parsed(temperature=3)

    assert refused.value.extra["param"] == "temperature"
