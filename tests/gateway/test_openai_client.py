"""The official client against a gateway, a runner and a model: only its base URL and key are changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from gateway_log import until
from gateway_rig import Plane, Service, Tenant
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam
from widget_rig import ORIGIN

from metering.prices import MICRO_PER_CREDIT
from schemas.directory import Limits

_QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What are your opening hours?"}]
_LONG: list[ChatCompletionMessageParam] = [
    {"role": "user", "content": "Tell me everything [[fault:length:800]]"}
]


def client_of(gateway: Service, key: str, **options: Any) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=key, **options)


@pytest_asyncio.fixture(loop_scope="session")
async def client(fast: Any, tenant: Tenant) -> AsyncIterator[AsyncOpenAI]:
    async with client_of(fast.gateway, tenant.key) as opened:
        yield opened


async def refusal(client: AsyncOpenAI, **asked: Any) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as refused:
        await client.chat.completions.create(**{"model": "gpt-4o-mini", "messages": _QUESTION, **asked})
    return refused.value


async def test_a_completion_is_a_metered_run(plane: Plane, client: AsyncOpenAI, tenant: Tenant) -> None:
    got = await client.chat.completions.create(
        model="gpt-4o-mini", messages=_QUESTION, user="user-7", metadata={"order": "17"}
    )

    assert (got.object, got.model) == ("chat.completion", "gpt-4o-mini")
    (choice,) = got.choices
    assert (choice.message.role, choice.finish_reason) == ("assistant", "stop")
    assert choice.message.content
    metered = await plane.log.of(got.id)
    closing = metered.closing
    assert (closing.channel, closing.status, closing.end_user) == ("openai", "completed", "user-7")
    assert (closing.instance_id, closing.key_id) == (tenant.instance_id, tenant.key_record.key_id)
    assert got.usage is not None
    assert got.usage.prompt_tokens == closing.tokens_in > 0
    assert got.usage.completion_tokens == closing.tokens_out > 0
    assert got.usage.total_tokens == closing.tokens_in + closing.tokens_out
    assert closing.credits_micro > 0


async def test_the_stream_says_the_same_and_its_usage_is_what_was_metered(
    plane: Plane, client: AsyncOpenAI
) -> None:
    whole = await client.chat.completions.create(model="gpt-4o-mini", messages=_QUESTION)
    stream = await client.chat.completions.create(
        model="gpt-4o-mini", messages=_QUESTION, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]

    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert text_of(chunks) == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason] == ["stop"]
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices == []
    closing = (await plane.log.of(chunks[0].id)).closing
    assert (closing.streamed, closing.channel) == (True, "openai")
    used = chunks[-1].usage
    assert used is not None
    assert (used.prompt_tokens, used.completion_tokens) == (closing.tokens_in, closing.tokens_out)


async def test_no_usage_is_streamed_that_was_not_asked_for(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model="gpt-4o-mini", messages=_QUESTION, stream=True)

    assert all(chunk.usage is None and chunk.choices for chunk in [chunk async for chunk in stream])


async def test_the_bytes_on_the_wire_are_openais(plane: Plane, fast: Any, tenant: Tenant) -> None:
    answered = await plane.post(
        fast.gateway,
        "/v1/chat/completions",
        json={"messages": _QUESTION, "stream": True},
        headers={"Authorization": f"Bearer {tenant.key}"},
    )

    assert answered.headers["Content-Type"].startswith("text/event-stream")
    pieces = answered.body.decode().split("\n\n")
    assert pieces[-2:] == ["data: [DONE]", ""]
    assert all(piece.startswith("data: ") for piece in pieces[:-1])
    assert '"usage"' not in answered.body.decode()
    assert answered.headers["X-Run-Id"] in pieces[0]


async def test_the_instances_own_prompt_stands_first_and_its_tools_are_called(
    plane: Plane, fast: Any, client: AsyncOpenAI
) -> None:
    plain = await client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "What is 17 * 3?"}]
    )
    prompted = await client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[
            {"role": "system", "content": "Answer kindly. " * 20},
            {"role": "user", "content": "What is 17 * 3?"},
        ],
    )

    assert "51" in (plain.choices[0].message.content or "")
    metered = await plane.log.of(plain.id)
    assert [tool.tool for tool in metered.tools] == ["calculator"]
    assert plain.usage is not None
    assert prompted.usage is not None
    # The client's prompt comes on top of the instance's, which nobody can leave out.
    assert prompted.usage.prompt_tokens > plain.usage.prompt_tokens + 50


async def test_an_answer_that_ran_into_its_limit_says_so(client: AsyncOpenAI) -> None:
    got = await client.chat.completions.create(model="gpt-4o-mini", messages=_LONG, max_tokens=20)

    assert got.choices[0].finish_reason == "length"
    assert got.usage is not None
    assert got.usage.completion_tokens == 20


async def test_the_models_are_the_instances(client: AsyncOpenAI, tenant: Tenant) -> None:
    assert [model.id async for model in client.models.list()] == list(tenant.instance.models)


async def test_a_model_by_its_name(client: AsyncOpenAI) -> None:
    assert (await client.models.retrieve("gpt-4o")).id == "gpt-4o"
    with pytest.raises(openai.NotFoundError) as refused:
        await client.models.retrieve("gpt-9")
    assert refused.value.code == "model_not_found"


async def test_an_unknown_model_is_not_found(client: AsyncOpenAI) -> None:
    error = await refusal(client, model="gpt-9")

    assert isinstance(error, openai.NotFoundError)
    assert (error.code, error.param, error.type) == ("model_not_found", "model", "invalid_request_error")


async def test_what_cannot_be_honoured_is_a_bad_request(client: AsyncOpenAI) -> None:
    error = await refusal(client, n=2)

    assert isinstance(error, openai.BadRequestError)
    assert (error.code, error.param) == ("unsupported_parameter", "n")
    assert "ask once for each answer" in error.message


async def test_a_wrong_key_is_not_authenticated(fast: Any) -> None:
    async with client_of(fast.gateway, "sk-wrong") as client:
        error = await refusal(client)

    assert isinstance(error, openai.AuthenticationError)
    assert error.code == "invalid_api_key"


@pytest.mark.parametrize("kind", ["widget", "mcp"])
async def test_only_secret_keys_open_it(plane: Plane, fast: Any, kind: Any) -> None:
    other = await plane.tenant(kind=kind, allowed_origins=(ORIGIN,))
    async with client_of(fast.gateway, other.key, default_headers={"Origin": ORIGIN}) as client:
        error = await refusal(client)

    assert isinstance(error, openai.PermissionDeniedError)
    assert error.code == "key_kind_not_allowed"


async def test_the_plan_and_the_keys_scopes_are_asked(plane: Plane, fast: Any) -> None:
    no_channel = await plane.tenant(instance_fields={"channels": ("api", "widget")})
    async with client_of(fast.gateway, no_channel.key) as client:
        assert (await refusal(client)).code == "channel_not_allowed"
    reader = await plane.tenant(scopes=("runs:read",))
    async with client_of(fast.gateway, reader.key) as client:
        assert (await refusal(client)).code == "missing_scope"
    only = await plane.tenant(instance_fields={"channels": ("openai",)})
    async with client_of(fast.gateway, only.key) as client:
        assert (await client.chat.completions.create(model="gpt-4o-mini", messages=_QUESTION)).id
    assert (await plane.ask(fast.gateway, only)).status == 403


async def test_without_credits_it_is_402_and_not_repeated(plane: Plane, fast: Any) -> None:
    poor = await plane.tenant(credits_micro=0)
    tried: list[Any] = []

    async def count(request: Any) -> None:
        tried.append(request)

    async with client_of(fast.gateway, poor.key) as client:
        client._client.event_hooks["request"].append(count)
        error = await refusal(client)

    assert error.status_code == 402
    assert (error.code, error.type) == ("insufficient_credits", "insufficient_quota")
    assert "top up the wallet" in error.message
    assert len(tried) == 1
    assert await plane.log.runs_of(poor.instance_id) == {}


async def test_a_rate_says_when_to_repeat(plane: Plane, fast: Any) -> None:
    busy = await plane.tenant(limits=Limits(requests_per_minute=1))
    async with client_of(fast.gateway, busy.key, max_retries=0) as client:
        await client.chat.completions.create(model="gpt-4o-mini", messages=_QUESTION)
        error = await refusal(client)

    assert isinstance(error, openai.RateLimitError)
    assert error.code == "rate_limit_exceeded"
    assert 1 <= int(error.response.headers["Retry-After"]) <= 60
    assert error.response.headers["RateLimit"].startswith('"requests";r=0')


async def test_the_client_does_not_wait_for_what_waiting_does_not_help(plane: Plane, fast: Any) -> None:
    small = await plane.tenant(limits=Limits(tokens_per_minute=10, cap_output=False))
    async with client_of(fast.gateway, small.key) as client:
        error = await refusal(client)

    assert error.status_code == 429
    assert "Retry-After" not in error.response.headers
    assert error.response.headers["x-should-retry"] == "false"


async def test_a_repeat_with_an_idempotency_key_is_the_same_run(plane: Plane, client: AsyncOpenAI) -> None:
    headers = {"Idempotency-Key": "order-17"}
    asked: Any = {"model": "gpt-4o-mini", "messages": _QUESTION, "extra_headers": headers}
    first = await client.chat.completions.create(**asked)
    again = await client.chat.completions.create(**asked)
    conflict = await refusal(client, messages=_LONG, extra_headers=headers)

    assert (again.id, again.choices, again.usage) == (first.id, first.choices, first.usage)
    assert (conflict.status_code, conflict.code) == (409, "idempotency_conflict")
    asked["extra_headers"] = {"Idempotency-Key": "order-18"}
    streams = [await client.chat.completions.create(**asked, stream=True) for _ in range(2)]
    told = [[chunk async for chunk in stream] for stream in streams]
    assert told[0][0].id == told[1][0].id
    assert text_of(told[0]) == text_of(told[1]) == first.choices[0].message.content


async def test_closing_the_stream_cancels_the_run(plane: Plane, slow: Any) -> None:
    lonely = await plane.tenant()
    async with client_of(slow.gateway, lonely.key) as client:
        stream = await client.chat.completions.create(model="gpt-4o-mini", messages=_LONG, stream=True)
        run_id, pieces = "", 0
        async for chunk in stream:
            run_id = chunk.id
            pieces += 1
            if pieces == 4:
                break
        await stream.close()

    metered = await plane.log.when(run_id, lambda run: run.closed, "the run is closed", 5)
    assert (metered.closing.status, metered.closing.error_code) == ("cancelled", "client_disconnected")
    assert 0 < metered.closing.tokens_out < 400
    assert metered.closing.credits_micro > 0


async def test_a_run_cut_while_it_streams_ends_in_an_error(plane: Plane, slow: Any) -> None:
    lonely = await plane.tenant()
    async with client_of(slow.gateway, lonely.key) as client:
        stream = await client.chat.completions.create(model="gpt-4o-mini", messages=_LONG, stream=True)
        run_id = (await anext(stream)).id
        await plane.post(slow.gateway, f"/v1/runs/{run_id}/cancel", headers=lonely.headers)
        with pytest.raises(openai.APIError) as cut:
            _ = [chunk async for chunk in stream]

    assert cut.value.code == "cancelled_by_request"
    assert run_id in cut.value.message
    assert (await plane.log.of(run_id)).closing.status == "cancelled"


async def test_a_model_that_fails_is_a_server_error(plane: Plane, fast: Any) -> None:
    lonely = await plane.tenant()
    async with client_of(fast.gateway, lonely.key, max_retries=0) as client:
        error = await refusal(client, messages=[{"role": "user", "content": "a [[fault:status:500]]"}])

    assert isinstance(error, openai.InternalServerError)
    assert (error.status_code, error.type) == (502, "server_error")
    run_id = error.response.headers["X-Run-Id"]
    assert run_id in error.message
    assert (await plane.log.of(run_id)).closing.status == "failed"


async def test_the_wallet_holds_nothing_more_than_for_any_run(plane: Plane, slow: Any) -> None:
    lonely = await plane.tenant(credits_micro=1_000 * MICRO_PER_CREDIT)
    async with client_of(slow.gateway, lonely.key) as client:
        stream = await client.chat.completions.create(model="gpt-4o-mini", messages=_LONG, stream=True)
        assert len(await plane.held(lonely)) == 1
        await stream.close()

        async def closed() -> bool:
            return any(run.closed for run in (await plane.log.runs_of(lonely.instance_id)).values())

        await until(closed, "the run is closed")


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
