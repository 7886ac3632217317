from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from additive import FROZEN, breaks, examples_of, live_schema, schema_file

from schemas import topics
from schemas.topics import Topic

every_topic = pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
Schema = dict[str, Any]


def frozen_tokens() -> Schema:
    return live_schema(topics.TOKENS)


def fields(schema: Schema) -> Schema:
    found: Schema = schema["$defs"]["TokenEvent"]["properties"]
    return found


def required(schema: Schema) -> list[str]:
    found: list[str] = schema["$defs"]["TokenEvent"]["required"]
    return found


@every_topic
def test_an_event_is_its_frozen_version_with_optional_fields_added_at_most(topic: Topic) -> None:
    frozen = json.loads(schema_file(topic).read_text())

    assert breaks(frozen, live_schema(topic)) == [], "make a new event version instead"


@every_topic
def test_a_field_that_was_added_is_frozen_too(topic: Topic) -> None:
    frozen = json.loads(schema_file(topic).read_text())

    assert breaks(live_schema(topic), frozen) == [], "run `PYTHONPATH=. python tests/schemas/freeze.py`"


@every_topic
def test_examples_keep_to_the_frozen_schema(topic: Topic) -> None:
    schema = json.loads(schema_file(topic).read_text())
    examples = examples_of(topic)

    for example in examples:
        jsonschema.Draft202012Validator(schema).validate(example)

    assert len(examples) >= 2


def test_nothing_is_frozen_that_is_no_topic() -> None:
    expected = {schema_file(topic).name for topic in topics.ALL}
    expected |= {name.replace(".schema.", ".examples.") for name in expected}

    assert {path.name for path in FROZEN.iterdir()} == expected


def test_a_schema_does_not_break_itself() -> None:
    assert breaks(frozen_tokens(), frozen_tokens()) == []


def test_an_optional_field_and_new_prose_are_let_through() -> None:
    live = frozen_tokens()
    fields(live)["audio"] = {"type": "integer", "default": 0}
    live["$defs"]["TokenEvent"]["description"] = "said otherwise"

    assert breaks(frozen_tokens(), live) == []


def remove_a_field(live: Schema) -> None:
    del fields(live)["reasoning"]


def rename_a_field(live: Schema) -> None:
    fields(live)["reasoned"] = fields(live).pop("reasoning")


def change_a_type(live: Schema) -> None:
    fields(live)["output"]["type"] = "string"


def make_an_integer_a_number(live: Schema) -> None:
    fields(live)["output"]["type"] = "number"


def add_a_required_field(live: Schema) -> None:
    fields(live)["region"] = {"type": "string"}
    required(live).append("region")


def require_an_old_field(live: Schema) -> None:
    required(live).append("output")


def stop_requiring_a_field(live: Schema) -> None:
    required(live).remove("call_id")


def narrow_a_bound(live: Schema) -> None:
    fields(live)["output"]["maximum"] = 1_000


def raise_a_lower_bound(live: Schema) -> None:
    fields(live)["output"]["minimum"] = 1


def bound_what_was_free(live: Schema) -> None:
    fields(live)["model"]["pattern"] = "^gpt"


def take_a_word_from_an_enumeration(live: Schema) -> None:
    fields(live)["source"]["enum"].remove("partial")


def add_a_word_to_an_enumeration(live: Schema) -> None:
    fields(live)["source"]["enum"].append("guess")


def change_what_an_absent_field_means(live: Schema) -> None:
    fields(live)["source"]["default"] = "estimate"


def forbid_unknown_fields(live: Schema) -> None:
    live["$defs"]["TokenEvent"]["additionalProperties"] = False


@pytest.mark.parametrize(
    "change",
    [
        remove_a_field,
        rename_a_field,
        change_a_type,
        make_an_integer_a_number,
        add_a_required_field,
        require_an_old_field,
        stop_requiring_a_field,
        narrow_a_bound,
        raise_a_lower_bound,
        bound_what_was_free,
        take_a_word_from_an_enumeration,
        add_a_word_to_an_enumeration,
        change_what_an_absent_field_means,
        forbid_unknown_fields,
    ],
)
def test_a_breaking_change_is_refused(change: Callable[[Schema], None]) -> None:
    live = copy.deepcopy(frozen_tokens())
    change(live)

    assert breaks(frozen_tokens(), live)


def test_a_breaking_change_inside_a_nested_struct_is_refused() -> None:
    live = live_schema(topics.LEDGER)
    del live["$defs"]["RunSnapshot"]["properties"]["charged_micro"]

    assert breaks(live_schema(topics.LEDGER), live)
