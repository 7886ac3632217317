"""Tool calls: when the model makes them, how they are streamed, what it says with their results."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from provider_process import ProviderProcess, user

from kit import tokens


def tool(name: str, **properties: dict[str, Any]) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


CALCULATOR = tool("calculator", expression={"type": "string"})
CLOCK = tool("current_time")
CLOCK["function"]["parameters"]["properties"]["timezone"] = {"type": "string"}
LOOKUP = tool(
    "order_lookup",
    order={"type": "integer", "minimum": 1},
    detail={"type": "string", "enum": ["short", "full"]},
    express={"type": "boolean"},
    tags={"type": "array", "items": {"type": "string"}},
    address={
        "type": "object",
        "properties": {"city": {"type": "string"}, "zip": {"type": "string"}},
        "required": ["city"],
    },
)
TOOLS = [CALCULATOR, CLOCK, LOOKUP]


def ask(provider: ProviderProcess, messages: list[dict[str, Any]], **options: Any) -> Any:
    options = {"model": "gpt-4o", "messages": messages, "tools": TOOLS, **options}
    return provider.openai.chat.completions.create(**options)


def calls_of(answer: Any) -> list[tuple[str, dict[str, Any]]]:
    calls = answer.choices[0].message.tool_calls or []
    return [(call.function.name, json.loads(call.function.arguments)) for call in calls]


@pytest.mark.parametrize(
    ("question", "expression"),
    [
        ("What is 12*7?", "12*7"),
        ("Please add (3 + 4.5) * 2 for me.", "(3 + 4.5) * 2"),
        ("On 2026-03-01 I paid 20 \u00d7 3", "20 * 3"),
        ("our bill (4 seats, 4*9.50) is wrong", "4*9.50"),
    ],
)
def test_arithmetic_goes_to_the_calculator(provider: ProviderProcess, question: str, expression: str) -> None:
    answer = ask(provider, user(question))
    assert calls_of(answer) == [("calculator", {"expression": expression})]
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.content is None


@pytest.mark.parametrize(
    "question",
    ["My invoice of 2026-03-01 is late", "Are you there 24/7?", "Can this save me time?", "Version 3.5.1?"],
)
def test_other_questions_are_answered_without_tools(provider: ProviderProcess, question: str) -> None:
    answer = ask(provider, user(question))
    assert calls_of(answer) == []
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("question", "arguments"),
    [
        ("What time is it?", {}),
        ("What's today's date?", {}),
        ("What is the current time in Berlin?", {"timezone": "Europe/Berlin"}),
        ("What is the time now, America/New_York?", {"timezone": "America/New_York"}),
    ],
)
def test_the_time_comes_from_the_clock(
    provider: ProviderProcess, question: str, arguments: dict[str, str]
) -> None:
    assert calls_of(ask(provider, user(question))) == [("current_time", arguments)]


def test_a_named_tool_is_called_with_what_its_schema_requires(provider: ProviderProcess) -> None:
    (call,) = calls_of(ask(provider, user('Use order lookup on order 4711, full detail, for "Jane"')))
    assert call == (
        "order_lookup",
        {"order": 4711, "detail": "full", "express": True, "tags": ["Jane"], "address": {"city": "Jane"}},
    )


def test_tool_choice_is_respected(provider: ProviderProcess) -> None:
    question = user("What is 12*7, and what time is it?")
    assert [name for name, _ in calls_of(ask(provider, question))] == ["calculator", "current_time"]
    assert len(calls_of(ask(provider, question, parallel_tool_calls=False))) == 1
    assert calls_of(ask(provider, question, tool_choice="none")) == []
    named: Any = {"type": "function", "function": {"name": "current_time"}}
    assert calls_of(ask(provider, question, tool_choice=named)) == [("current_time", {})]
    assert calls_of(ask(provider, user("Hi"), tool_choice="required"))[0][0] == "calculator"


def test_streamed_calls_are_those_not_streamed(provider: ProviderProcess) -> None:
    question = user("What is 12*7 + 100*(3-1), and what time is it in Paris?")
    whole = ask(provider, question)
    with provider.openai.chat.completions.stream(
        model="gpt-4o", messages=question, tools=TOOLS, stream_options={"include_usage": True}
    ) as stream:
        deltas = [event.chunk for event in stream if event.type == "chunk"]
        built = stream.get_final_completion()
    pieces = [p for c in deltas for choice in c.choices for p in choice.delta.tool_calls or ()]
    assert len(pieces) > 4
    assert [p.id for p in pieces if p.id] == [c.id for c in whole.choices[0].message.tool_calls]
    assert calls_of(built) == calls_of(whole)
    assert built.usage == whole.usage
    written = "".join(c.function.name + c.function.arguments for c in whole.choices[0].message.tool_calls)
    assert whole.usage.completion_tokens == tokens.count(written, "gpt-4o")


def test_the_loop_ends_with_an_answer_from_the_results(provider: ProviderProcess) -> None:
    messages = user("What is 12*7, and what time is it?")
    message = ask(provider, messages).choices[0].message
    results = {"calculator": "84", "current_time": "2026-01-02T03:04:05+00:00"}
    messages.append(message.model_dump(exclude_none=True))
    messages += [
        {"role": "tool", "tool_call_id": call.id, "content": results[call.function.name]}
        for call in message.tool_calls
    ]
    answer = ask(provider, messages)
    assert answer.choices[0].message.content == (
        "The result of 12*7 is 84. The current time is 2026-01-02T03:04:05+00:00."
    )
    assert answer.usage.prompt_tokens == tokens.count_messages(messages, "gpt-4o")
    messages += [{"role": "assistant", "content": "84"}, *user("And 9*9?")]
    assert calls_of(ask(provider, messages)) == [("calculator", {"expression": "9*9"})]


def test_a_failed_tool_is_told(provider: ProviderProcess) -> None:
    messages = user("What is 1/0?")
    call = ask(provider, messages).choices[0].message
    messages.append(call.model_dump(exclude_none=True))
    messages.append({"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "error: no zero"})
    assert ask(provider, messages).choices[0].message.content == "I could not use calculator: no zero."


def test_a_limit_ends_the_arguments_early(provider: ProviderProcess) -> None:
    answer = ask(provider, user("What is 12*7 + 100*(3-1)?"), max_tokens=5)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens <= 5


def test_calls_without_results_are_refused(provider: ProviderProcess) -> None:
    messages = user("What is 12*7?")
    message = ask(provider, messages).choices[0].message.model_dump(exclude_none=True)
    with pytest.raises(openai.BadRequestError, match="must be followed by tool messages"):
        ask(provider, [*messages, message])
    with pytest.raises(openai.BadRequestError, match="must be a response to"):
        ask(provider, [*messages, {"role": "tool", "tool_call_id": "call_x", "content": "84"}])
