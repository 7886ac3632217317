from __future__ import annotations

import time

import pytest

from kit.tokens import DEFAULT_ENCODING, count, count_messages, encoding_for

MB = 1_000_000


@pytest.mark.parametrize(
    ("text", "model", "tokens"),
    [
        ("", "gpt-4o", 0),
        ("hello world", "gpt-4o", 2),
        ("hello world", "gpt-4", 2),
        # From OpenAI's cookbook, "How to count tokens with tiktoken".
        ("tiktoken is great!", "gpt-4", 6),
        ("antidisestablishmentarianism", "gpt-4", 6),
        ("antidisestablishmentarianism", "gpt-4o", 6),
        ("2 + 2 = 4", "gpt-4", 7),
        ("2 + 2 = 4", "gpt-4o", 7),
        ("お誕生日おめでとう", "gpt-4", 9),
        ("お誕生日おめでとう", "gpt-4o", 8),
    ],
)
def test_known_texts_have_known_counts(text: str, model: str, tokens: int) -> None:
    assert count(text, model) == tokens


def test_models_count_with_their_own_encoding_and_unknown_ones_with_the_default() -> None:
    assert encoding_for("gpt-4o").name == "o200k_base"
    assert encoding_for("gpt-4").name == "cl100k_base"
    assert encoding_for("claude-sonnet-4-5").name == DEFAULT_ENCODING
    assert encoding_for("").name == DEFAULT_ENCODING
    # One tiktoken knows, whose vocabulary is not in the wheel.
    assert encoding_for("davinci").name == DEFAULT_ENCODING


@pytest.mark.parametrize("special", ["<|endoftext|>", "<|fim_prefix|>", "<|im_start|>system<|im_sep|>"])
def test_special_tokens_are_plain_text(special: str) -> None:
    assert count(special, "gpt-4o") > 1
    assert count(f"a {special} b", "gpt-4") > 3


@pytest.mark.parametrize(
    "text",
    [
        "a" * MB,
        " " * MB,
        "\n" * MB,
        "ab" * (MB // 2),
        "é" * MB,
        "😀" * MB,
        "0" * MB,
        ("x" * 8_191 + " ") * (MB // 8_192),
        ("word " + " " * 9_000) * (MB // 9_005),
    ],
    ids=["letters", "spaces", "lines", "pairs", "accents", "emoji", "digits", "long words", "wide gaps"],
)
def test_a_megabyte_of_anything_is_counted_in_bounded_time(text: str) -> None:
    encoding_for("gpt-4o")
    began = time.process_time()

    tokens = count(text, "gpt-4o")

    assert 0 < tokens <= 4 * len(text)
    assert time.process_time() - began < 3


def test_a_long_text_of_words_is_counted_exactly() -> None:
    text = "The quick brown fox jumps over 13 lazy dogs, doesn't it?  Yes. " * 1_500

    assert count(text, "gpt-4o") == len(encoding_for("gpt-4o").encode_ordinary(text))


def test_a_long_text_without_words_is_a_few_tokens_off_at_most() -> None:
    text = "abcdefghij" * 4_000
    exact = len(encoding_for("gpt-4o").encode_ordinary(text))

    assert exact <= count(text, "gpt-4o") <= exact + 3 * (len(text) // 8_192)


def test_messages_follow_openais_formula() -> None:
    # The cookbook's example, 129 tokens for gpt-4.
    messages = [
        {
            "role": "system",
            "content": "You are a helpful, pattern-following assistant that translates corporate jargon "
            "into plain English.",
        },
        {
            "role": "system",
            "name": "example_user",
            "content": "New synergies will help drive top-line growth.",
        },
        {
            "role": "system",
            "name": "example_assistant",
            "content": "Things working well together will increase revenue.",
        },
        {
            "role": "system",
            "name": "example_user",
            "content": "Let's circle back when we have more bandwidth to touch base on opportunities for "
            "increased leverage.",
        },
        {
            "role": "system",
            "name": "example_assistant",
            "content": "Let's talk later when we're less busy about how to do better.",
        },
        {
            "role": "user",
            "content": "This late pivot means we don't have time to boil the ocean for the client "
            "deliverable.",
        },
    ]

    assert count_messages(messages, "gpt-4") == 129


def test_the_formula_adds_up_part_by_part() -> None:
    hello, user, ann = (count(text, "gpt-4o") for text in ("hello", "user", "ann"))

    assert count_messages([], "gpt-4o") == 3
    assert count_messages([{"role": "user", "content": "hello"}], "gpt-4o") == 3 + 3 + user + hello
    assert (
        count_messages([{"role": "user", "name": "ann", "content": None}], "gpt-4o") == 3 + 3 + user + 1 + ann
    )


def test_of_parts_the_texts_count_and_of_tool_calls_name_and_arguments() -> None:
    parts = [{"type": "text", "text": "hello"}, {"type": "image_url", "image_url": {"url": "x" * 99}}]
    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    plain = count_messages([{"role": "user", "content": "hello"}], "gpt-4o")
    bare = count_messages([{"role": "assistant"}], "gpt-4o")

    assert count_messages([{"role": "user", "content": parts}], "gpt-4o") == plain
    assert count_messages(
        [{"role": "assistant", "content": None, "tool_calls": [call]}], "gpt-4o"
    ) == bare + 3 + count("add", "gpt-4o") + count('{"a": 1}', "gpt-4o")
