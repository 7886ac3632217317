"""Answers, usage and streams, as the official client sees them."""

from __future__ import annotations

from typing import Any

import pytest
from provider_process import ProviderProcess, user

from kit import tokens

MODELS = ["gpt-4o-mini", "gpt-4o", "gpt-4.1", "gpt-4.1-mini", "claude-sonnet-4-5"]
QUESTIONS = [
    "How do I cancel my subscription before the next invoice?",
    "Hi",
    "Why was the payment for seat licences declined?",
    "Explain Größenänderung, naïve café ☕ and 請求書 🧾 billing.",
]
CONTEXT = """You are a support agent. Answer from the context.
Context:
- Refunds are paid within 14 days of purchase.
- Invoices are sent on the 1st. They go to the owner.
- Support is open from 9 to 5 on weekdays."""


def ask(provider: ProviderProcess, question: str, **options: Any) -> Any:
    options = {"model": "gpt-4o-mini", "messages": user(question), **options}
    return provider.openai.chat.completions.create(**options)


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_models_are_listed(provider: ProviderProcess) -> None:
    assert [model.id for model in provider.openai.models.list()] == MODELS
    assert provider.openai.models.retrieve("gpt-4o").id == "gpt-4o"


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("question", QUESTIONS)
def test_same_request_same_answer_streamed_or_not(
    provider: ProviderProcess, model: str, question: str
) -> None:
    whole = ask(provider, question, model=model)
    again = ask(provider, question, model=model)
    streamed = list(ask(provider, question, model=model, stream=True, stream_options={"include_usage": True}))
    text = whole.choices[0].message.content
    assert text == again.choices[0].message.content == text_of(streamed)
    assert whole.id != again.id
    assert whole.choices[0].finish_reason == "stop"
    assert [c.choices[0].finish_reason for c in streamed[:-1]] == [None] * (len(streamed) - 2) + ["stop"]
    assert streamed[0].choices[0].delta.role == "assistant"
    assert len({chunk.id for chunk in streamed}) == 1
    assert streamed[-1].choices == []
    assert all(chunk.usage is None for chunk in streamed[:-1])
    for usage in (whole.usage, streamed[-1].usage):
        assert usage.prompt_tokens == tokens.count_messages(user(question), model)
        assert usage.completion_tokens == tokens.count(text, model)
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
        assert usage.completion_tokens_details.reasoning_tokens == 0
        assert usage.prompt_tokens_details.cached_tokens == 0


def test_answers_vary_and_are_of_a_sensible_length(provider: ProviderProcess) -> None:
    answers = [ask(provider, f"How does feature {n} help with invoices?") for n in range(60)]
    texts = {answer.choices[0].message.content for answer in answers}
    lengths = [answer.usage.completion_tokens for answer in answers]
    assert len(texts) > 40
    assert min(lengths) >= 20
    assert max(lengths) <= 150
    assert max(lengths) - min(lengths) > 60
    assert sum("invoices" in text or "feature" in text for text in texts) > len(texts) * 0.9


def test_no_usage_in_a_stream_unless_asked_for(provider: ProviderProcess) -> None:
    chunks = list(ask(provider, "Hi there", stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


@pytest.mark.parametrize("member", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("limit", [1, 7, 19])
def test_token_limits_cut_the_answer(provider: ProviderProcess, member: str, limit: int) -> None:
    full = ask(provider, QUESTIONS[0]).choices[0].message.content
    cut = ask(provider, QUESTIONS[0], **{member: limit})
    chunks = list(ask(provider, QUESTIONS[0], stream=True, **{member: limit}))
    assert cut.choices[0].finish_reason == chunks[-1].choices[0].finish_reason == "length"
    assert cut.usage.completion_tokens == limit == tokens.count(cut.choices[0].message.content, "gpt-4o")
    assert full.startswith(cut.choices[0].message.content)
    assert text_of(chunks) == cut.choices[0].message.content


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("When are invoices sent?", "Invoices are sent on the 1st."),
        ("Can I still get a refund?", "Refunds are paid within 14 days of purchase."),
        ("When is support open?", "Support is open from 9 to 5 on weekdays."),
    ],
)
def test_questions_are_answered_from_the_context(
    provider: ProviderProcess, question: str, answer: str
) -> None:
    messages = [{"role": "system", "content": CONTEXT}, *user(question)]
    assert ask(provider, "", messages=messages).choices[0].message.content == answer


def test_the_passage_that_is_quoted_is_named(provider: ProviderProcess) -> None:
    context = (
        "<context 0a1b>\n[1] Handbook, page 1\nThe office is closed on Sundays.\n\n"
        "[2] Handbook, page 2\nRefunds are paid within 14 days of purchase.\n</context 0a1b>"
    )
    messages = [{"role": "user", "content": context}, *user("Can I still get a refund?")]
    answer = ask(provider, "", messages=messages).choices[0].message.content
    assert answer == "Refunds are paid within 14 days of purchase. [2]"
    messages = [{"role": "user", "content": context}, *user("Hello")]
    assert "[" not in ask(provider, "", messages=messages).choices[0].message.content


def test_content_may_come_in_parts(provider: ProviderProcess) -> None:
    parts = [{"type": "text", "text": "How do refunds"}, {"type": "text", "text": "work?"}]
    messages = [{"role": "user", "content": parts}]
    answer = ask(provider, "", messages=messages)
    assert answer.usage.prompt_tokens == tokens.count_messages(messages, "gpt-4o-mini")


def test_long_prefixes_are_cached(provider: ProviderProcess) -> None:
    shared = " ".join(f"Rule {n}: keep receipts." for n in range(300))
    first, second = (
        ask(provider, "", messages=[{"role": "system", "content": shared}, *user(question)]).usage
        for question in ("What about receipts?", "How do I file a complaint about a rule?")
    )
    assert first.prompt_tokens_details.cached_tokens == 0
    cached = second.prompt_tokens_details.cached_tokens
    assert cached % 128 == 0
    assert tokens.count(shared, "gpt-4o") - 128 <= cached <= second.prompt_tokens
    other = ask(provider, "", model="gpt-4.1", messages=[{"role": "system", "content": shared}, *user("?")])
    assert other.usage.prompt_tokens_details.cached_tokens == 0


def test_two_megabytes_of_one_letter_are_answered(provider: ProviderProcess) -> None:
    answer = ask(provider, "a" * 2_000_000, max_tokens=5)
    assert answer.usage.prompt_tokens > 100_000
