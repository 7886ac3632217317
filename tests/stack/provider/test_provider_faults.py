"""Faults on demand, and what the provider says it generated."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import openai
import pytest
from provider_process import ProviderProcess, user
from waiting import soon

from kit import tokens

MODEL = "gpt-4o"


def ask(provider: ProviderProcess, fault: str, question: str = "How do refunds work?", **more: Any) -> Any:
    headers = {"X-Fault": fault} if fault else {}
    headers |= more.pop("headers", {})
    client = provider.openai.with_options(max_retries=more.pop("retries", 0))
    return client.chat.completions.create(model=MODEL, messages=user(question), extra_headers=headers, **more)


def drain(stream: Any, into: list[Any]) -> None:
    """Read a stream; what came before an error stays in `into`."""
    for chunk in stream:
        into.append(chunk)


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("429", openai.RateLimitError),
        ("500", openai.InternalServerError),
        ("503", openai.InternalServerError),
    ],
)
def test_statuses(
    provider: ProviderProcess, stream: bool, fault: str, error: type[openai.APIStatusError]
) -> None:
    with pytest.raises(error) as caught:
        ask(provider, fault, stream=stream)
    assert caught.value.status_code == int(fault)
    assert set(caught.value.body) == {"message", "type", "param", "code"}  # type: ignore[call-overload]
    assert ("retry-after" in caught.value.response.headers) == (fault == "429")
    with pytest.raises(error):
        ask(provider, "", f"How do refunds work? [[fault:{fault}]]", stream=stream)


def test_the_first_identical_requests_fail(provider: ProviderProcess) -> None:
    question = f"Is {uuid.uuid4()} paid?"
    for _ in range(2):
        with pytest.raises(openai.RateLimitError):
            ask(provider, "first-n:2:429", question)
    assert ask(provider, "first-n:2:429", question).choices
    with pytest.raises(openai.RateLimitError):
        ask(provider, "first-n:2:429", question + " Really?")


def test_the_client_retries_by_itself(provider: ProviderProcess) -> None:
    question = f"Is {uuid.uuid4()} paid? [[fault:first-n:2:503]]"
    assert ask(provider, "", question, retries=2).choices[0].message.content


@pytest.mark.parametrize("length", [1, 25, 1_000, 9_999, 20_000])
def test_length_is_exact(provider: ProviderProcess, length: int) -> None:
    whole = ask(provider, f"length:{length}")
    text = whole.choices[0].message.content
    assert tokens.count(text, MODEL) == whole.usage.completion_tokens == length
    assert whole.choices[0].finish_reason == "stop"
    assert text_of(list(ask(provider, f"length:{length}", stream=True))) == text


def test_length_is_bounded_and_below_the_limit(provider: ProviderProcess) -> None:
    assert ask(provider, "length:9999999").usage.completion_tokens == 20_000
    limited = ask(provider, "length:500", max_tokens=50)
    assert limited.usage.completion_tokens == 50
    assert limited.choices[0].finish_reason == "length"


def test_usage_can_be_withheld(provider: ProviderProcess) -> None:
    assert ask(provider, "no-usage").usage is None
    chunks = list(ask(provider, "no-usage", stream=True, stream_options={"include_usage": True}))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


def test_json_can_be_bad(provider: ProviderProcess) -> None:
    with pytest.raises((json.JSONDecodeError, openai.APIResponseValidationError)):
        ask(provider, "bad-json")
    request_id = str(uuid.uuid4())
    seen: list[Any] = []
    with pytest.raises((json.JSONDecodeError, openai.APIError)):
        drain(ask(provider, "bad-json", stream=True, headers={"X-Client-Request-Id": request_id}), seen)
    (served,) = provider.served(request_id)
    assert served["sent_tokens"] == tokens.count(text_of(seen), MODEL) > 0
    assert not served["finished"]


@pytest.mark.parametrize("chunks", [0, 1, 5, 60])
def test_a_stream_can_be_cut(provider: ProviderProcess, chunks: int) -> None:
    request_id = str(uuid.uuid4())
    seen: list[Any] = []
    fault = f"length:400,cut:{chunks}"
    with pytest.raises(openai.APIConnectionError):
        drain(ask(provider, fault, stream=True, headers={"X-Client-Request-Id": request_id}), seen)
    assert len(seen) == chunks
    (served,) = provider.served(request_id)
    assert served == {
        "request_id": request_id,
        "model": MODEL,
        "prompt_tokens": tokens.count_messages(user("How do refunds work?"), MODEL),
        "completion_tokens": tokens.count(text_of(seen), MODEL),
        "sent_tokens": tokens.count(text_of(seen), MODEL),
        "finished": False,
    }


def test_a_whole_answer_can_be_cut(provider: ProviderProcess) -> None:
    request_id = str(uuid.uuid4())
    with pytest.raises(openai.APIConnectionError):
        ask(provider, "cut:1", headers={"X-Client-Request-Id": request_id})
    (served,) = provider.served(request_id)
    assert (served["sent_tokens"], served["finished"]) == (0, False)
    assert served["completion_tokens"] > 0


def test_a_stall_delays_the_first_byte(provider: ProviderProcess) -> None:
    began = time.monotonic()
    assert ask(provider, "stall:0.4").choices
    assert time.monotonic() - began >= 0.4


def test_a_stall_outlasts_an_impatient_client(provider: ProviderProcess) -> None:
    request_id = str(uuid.uuid4())
    with pytest.raises(openai.APITimeoutError):
        ask(provider, "stall:100", timeout=3, headers={"X-Client-Request-Id": request_id})
    (served,) = provider.served(request_id)
    assert (served["completion_tokens"], served["finished"]) == (0, False)


@pytest.mark.parametrize("fault", ["nonsense", "cut:x", "stall:-1", "stall:nan", "length:", "first-n:2:418"])
def test_a_fault_there_is_not_is_refused(provider: ProviderProcess, fault: str) -> None:
    with pytest.raises(openai.BadRequestError, match="no fault"):
        ask(provider, fault)


def test_finished_answers_are_in_the_log(provider: ProviderProcess) -> None:
    request_id = str(uuid.uuid4())
    usage = ask(provider, "", headers={"X-Client-Request-Id": request_id}).usage
    chunks = list(ask(provider, "", stream=True, headers={"X-Client-Request-Id": request_id}))
    assert chunks
    soon(lambda: all(row["finished"] for row in provider.served(request_id)))
    rows = provider.served(request_id)
    assert len(rows) == 2
    for row in rows:
        assert row["sent_tokens"] == row["completion_tokens"] == usage.completion_tokens
        assert row["prompt_tokens"] == usage.prompt_tokens
    assert rows[-1] in provider.http.get("/admin/usage").json()
