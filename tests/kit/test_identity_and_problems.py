from __future__ import annotations

import re
import time
from hashlib import sha256

import msgspec
import pytest

from kit import api_keys, clock, problems
from kit.problems import Problem


@pytest.mark.parametrize("kind", ["sk", "wk", "mcp", "at"])
def test_a_minted_key_is_well_formed_and_names_itself(kind: str) -> None:
    minted = api_keys.mint(kind)

    assert re.fullmatch(rf"rm_{kind}_[a-z2-9]{{10}}_[a-z2-9]{{32}}_[0-9a-f]{{8}}", minted.key)
    assert minted.key_id == "key_" + minted.key.split("_")[2]
    assert api_keys.is_well_formed(minted.key)
    assert minted.digest == api_keys.digest(minted.key) == sha256(minted.key.encode()).hexdigest()


def test_no_two_keys_are_alike() -> None:
    minted = [api_keys.mint("sk") for _ in range(2_000)]

    for field in ("key", "key_id", "digest"):
        assert len({getattr(key, field) for key in minted}) == len(minted)


def test_any_mistyped_letter_is_noticed() -> None:
    key = api_keys.mint("sk").key
    for at, letter in enumerate(key):
        mistyped = key[:at] + ("x" if letter != "x" else "y") + key[at + 1 :]
        assert not api_keys.is_well_formed(mistyped), at


@pytest.mark.parametrize(
    "text",
    ["", "_", "rm_", "rm_sk", "sk-openai", "rm_sk_a_b_00000000", "é" * 20, "rm_\x00", "\ud800", "_" * 9],
)
def test_other_text_is_no_key(text: str) -> None:
    assert not api_keys.is_well_formed(text)


def test_a_key_of_any_length_is_refused_without_trouble() -> None:
    key = api_keys.mint("sk" + "k" * 200).key

    assert not api_keys.is_well_formed(key)
    assert not api_keys.is_well_formed("rm_" + "a" * 1_000_000)


def test_ids_are_unique_and_of_one_form() -> None:
    made = [clock.new_id("run") for _ in range(5_000)]

    assert len(set(made)) == len(made)
    assert all(re.fullmatch(r"run_[0-9a-hjkmnp-tv-z]{26}", one) for one in made)


def test_ids_sort_by_the_time_they_were_made() -> None:
    made = []
    for _ in range(5):
        made.append(clock.new_id("run"))
        before = clock.now_ms()
        while clock.now_ms() == before:
            time.sleep(0.0002)

    assert made == sorted(made)


def test_an_id_tells_its_millisecond() -> None:
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
    before = clock.now_ms()
    digits = clock.new_id("run").removeprefix("run_")
    after = clock.now_ms()

    value = 0
    for digit in digits:
        value = value * 32 + alphabet.index(digit)
    assert before <= value >> 80 <= after


def tree(root: type[Problem]) -> list[type[Problem]]:
    return [kind for kind in [root, *root.__subclasses__()] if kind.__module__ == problems.__name__]


@pytest.mark.parametrize("kind", tree(Problem), ids=lambda kind: kind.__name__)
def test_a_problem_has_the_members_of_rfc_9457(kind: type[Problem]) -> None:
    body = msgspec.json.decode(kind("do it otherwise").encoded())

    assert body == {
        "type": f"urn:runmeter:problem:{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "code": kind.code,
        "detail": "do it otherwise",
    }
    assert 400 <= kind.status <= 599


def test_codes_are_stable_words_and_each_belongs_to_one_problem() -> None:
    codes = [kind.code for kind in tree(Problem)]

    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z][a-z_]+", code) for code in codes)


def test_further_members_stand_beside_the_standard_ones() -> None:
    problem = problems.TooManyRequests(headers={"Retry-After": "3"}, allowed=5)

    assert problem.body()["allowed"] == 5
    assert problem.body()["detail"] == problem.title == str(problem)
    assert problem.headers == {"Retry-After": "3"}


def test_the_media_type_is_the_registered_one() -> None:
    assert problems.CONTENT_TYPE == "application/problem+json"
