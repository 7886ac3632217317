"""Pace, clients that leave, keys and bad requests."""

from __future__ import annotations

import json
import signal
import socket
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from provider_process import ProviderProcess, user
from waiting import PATIENCE_S, soon

from kit import tokens

CHAT = "/v1/chat/completions"
GOOD: dict[str, Any] = {"model": "gpt-4o", "messages": user("Hi")}


def test_tokens_come_at_the_pace_of_a_model(paced: ProviderProcess) -> None:
    began = time.monotonic()
    seen: list[tuple[float, int]] = []
    for chunk in paced.openai.chat.completions.create(
        **GOOD, stream=True, extra_headers={"X-Fault": "length:80"}
    ):
        seen.append((time.monotonic() - began, len(chunk.choices[0].delta.content or "")))
    assert seen[0][0] >= 0.2
    assert seen[-1][0] >= 1.0
    # Spread over the time, not at its end.
    assert sum(1 for at, _ in seen if at < seen[-1][0] * 0.8) > 5
    whole_began = time.monotonic()
    paced.openai.chat.completions.create(**GOOD, extra_headers={"X-Fault": "length:40"})
    assert time.monotonic() - whole_began >= 0.7


def test_a_client_that_leaves_ends_a_stream(paced: ProviderProcess) -> None:
    request_id = str(uuid.uuid4())
    headers = {"X-Fault": "length:2000", "X-Client-Request-Id": request_id}
    stream = paced.openai.chat.completions.create(**GOOD, stream=True, extra_headers=headers)
    text = ""
    for chunk in stream:
        text += chunk.choices[0].delta.content or ""
        if tokens.count(text, "gpt-4o") >= 20:
            break
    stream.close()
    sizes: list[int] = []

    def settled() -> bool:
        time.sleep(0.2)  # several chunks' worth of time: a stream that goes on would show
        sizes.append(paced.served(request_id)[0]["sent_tokens"])
        return len(sizes) > 1 and sizes[-1] == sizes[-2]

    soon(settled)
    (served,) = paced.served(request_id)
    assert not served["finished"]
    assert 20 <= served["sent_tokens"] < 100
    assert served["completion_tokens"] == served["sent_tokens"]


def test_a_client_that_leaves_ends_an_answer(paced: ProviderProcess) -> None:
    request_id = str(uuid.uuid4())
    headers = {"X-Fault": "length:2000", "X-Client-Request-Id": request_id}
    with pytest.raises(openai.APITimeoutError):
        paced.openai.chat.completions.create(**GOOD, extra_headers=headers, timeout=0.6)
    soon(lambda: paced.served(request_id)[0]["completion_tokens"] > 0)
    (served,) = paced.served(request_id)
    assert served["completion_tokens"] < 100
    assert (served["sent_tokens"], served["finished"]) == (0, False)


def test_a_fast_stream_waits_for_its_reader_and_ends_with_it(provider: ProviderProcess) -> None:
    request_id = str(uuid.uuid4())
    body = json.dumps(GOOD | {"stream": True})
    request = (
        f"POST {CHAT} HTTP/1.1\r\nHost: provider\r\nX-Fault: length:20000\r\n"
        f"X-Client-Request-Id: {request_id}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
    with socket.socket() as slow:
        # Little room on this side, so that most of the answer cannot leave the other.
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        slow.connect(("127.0.0.1", provider.port))
        slow.sendall(request.encode())
        assert slow.recv(12) == b"HTTP/1.1 200"
        soon(lambda: provider.served(request_id)[0]["sent_tokens"] > 0)
    assert provider.http.post(CHAT, json=GOOD).status_code == 200
    (served,) = provider.served(request_id)
    assert 0 < served["sent_tokens"] < 20_000
    assert not served["finished"]


def test_a_key_is_asked_for(paced: ProviderProcess) -> None:
    for client in (paced.openai.with_options(api_key="sk-wrong"), paced.openai.with_options(api_key="ü")):
        with pytest.raises((openai.AuthenticationError, UnicodeEncodeError)):
            client.models.list()
    with pytest.raises(openai.AuthenticationError) as caught:
        paced.openai.with_options(api_key="sk-wrong").chat.completions.create(**GOOD)
    assert caught.value.code == "invalid_api_key"
    bare = httpx.get(f"http://127.0.0.1:{paced.port}/admin/usage")
    assert bare.status_code == 401
    assert "sesame" not in paced.log()


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": [{"role": "wizard", "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"content": "Hi"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["Hi"]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": None}]}, "messages.[0].content"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages[0].tool_calls[0]"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function"}]}, "tools[0]"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"model": None}, "model"),
    ],
)
def test_bad_members_are_refused(provider: ProviderProcess, change: dict[str, Any], param: str) -> None:
    answer = provider.http.post(CHAT, json=GOOD | change)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"model": "\xff"}']
)
def test_bodies_that_are_no_request_are_refused(provider: ProviderProcess, body: bytes) -> None:
    answer = provider.http.post(CHAT, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_unknown_models_and_addresses_are_not_found(provider: ProviderProcess) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        provider.openai.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "Hi"}])
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        provider.openai.models.retrieve("gpt-9")
    assert provider.http.get("/v1/nothing").json()["error"]["message"] == "Invalid URL (GET /v1/nothing)"
    assert provider.http.get(CHAT).status_code == 405


def test_too_large_a_body_is_refused(provider: ProviderProcess) -> None:
    for size in (2 * 1024 * 1024, 12 * 1024 * 1024):
        with pytest.raises(openai.APIStatusError) as caught:
            provider.openai.chat.completions.create(
                model="gpt-4o", messages=[{"role": "user", "content": "a" * size}]
            )
        assert caught.value.status_code == 413
    assert provider.http.post(CHAT, json=GOOD).status_code == 200


def test_hostile_questions_take_no_time(provider: ProviderProcess) -> None:
    tool = {"type": "function", "function": {"name": "calculator", "parameters": {}}}
    for text in ("1 " * 200_000, "(" * 100_000, "1+" * 200_000, "a." * 200_000, "[[fault:" * 50_000):
        began = time.monotonic()
        answer = provider.http.post(CHAT, json=GOOD | {"messages": user(text), "tools": [tool]})
        assert answer.status_code == 200
        assert time.monotonic() - began < 30


def test_a_signal_ends_it_although_a_client_waits(tmp_path: Path) -> None:
    started = ProviderProcess(tmp_path / "own.log", time_scale=1)
    try:
        headers = {"X-Fault": "length:20000"}
        with started.http.stream("POST", CHAT, json=GOOD | {"stream": True}, headers=headers) as response:
            next(response.iter_raw())
            started.process.send_signal(signal.SIGTERM)
            assert started.process.wait(PATIENCE_S) in {0, -signal.SIGTERM}
    finally:
        started.close()
