"""The audit log as people say it."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from parsed import parsed

from console.calls.team import AuditEntry
from console.formats import Locale
from console.pages.audit_words import Detail, Names, action_of, details_of, target_of

EN = Locale("en")
ROOT = Path(__file__).parents[2]
ACTION = re.compile(r"[a-z_]+\.[a-z_]+")


def entry(
    action: str = "grant.issue", about: str = "grant", target: str = "grant_1", **details: Any
) -> AuditEntry:
    return AuditEntry("audit_1", 1, "org_1", "ada@example.com", action, about, target, details)


@pytest.mark.parametrize(
    ("details", "said"),
    [
        ({"amount_micro": 100_000_000_000}, Detail("Credits", "100,000.00")),
        ({"amount_micro": 1}, Detail("Credits", "0.000001")),
        ({"grace_s": 86_400}, Detail("Old one valid for", "1 day")),
        ({"grace_s": 5_400}, Detail("Old one valid for", "90 minutes")),
        ({"until_ms": 1_769_850_000_000}, Detail("Until", "1769850000000", "moment")),
        ({"enabled": False}, Detail("Enabled", "No")),
        ({"role": "owner"}, Detail("Role", "Owner")),
        (
            {"origins": ["https://a.example", "https://b.example"]},
            Detail("Origins", "https://a.example, https://b.example"),
        ),
        ({"plan_id": "plan_0123456789abcdef"}, Detail("Plan", "plan_0123456789abcdef", "id")),
        (
            {"channels": ["owners", "ach_01m8gqg453kzwnbe96q54sd59k"]},
            Detail("Channels", "Owners, ach_01m8g…d59k"),
        ),
        ({"ceiling_minor": 4_900, "currency": ""}, Detail("At most a month", "$49.00")),
    ],
)
def test_a_detail_is_said_as_people_read_it(details: dict[str, Any], said: Detail) -> None:
    assert details_of(entry(**details), Names(), EN) == [said]


def actions() -> set[str]:
    """Return every action that the console API notes by its name."""
    found: set[str] = set()
    for source in (ROOT / "console_api").rglob("*.py"):
        for call in ast.walk(parsed(source.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "attr", getattr(call.func, "id", "")) in (
                "record",
                "_audit",
            ):
                texts = [one.value for one in ast.walk(call) if isinstance(one, ast.Constant)]
                found |= {text for text in texts if isinstance(text, str) and ACTION.fullmatch(text)}
    return found


def test_every_action_has_words() -> None:
    assert len(actions()) > 40
    without = {action for action in actions() if ":" in action_of(entry(action))}
    assert without == set()


def test_what_is_named_by_a_word_is_said_by_it() -> None:
    changed = entry("alert_rule.change", "alert_rule", "balance_low")
    assert target_of(changed, Names()) == Detail("Alert", "Balance low")


def test_a_secret_is_said_by_what_it_belongs_to() -> None:
    kept = entry("secret.keep", "secret", "sec_1", name="alert-channel:ach_01m8gqg453kzwnbe96q54sd59k")
    assert target_of(kept, Names()) == Detail(
        "Secret of: Alert channel", "ach_01m8gqg453kzwnbe96q54sd59k", "id"
    )
    assert details_of(kept, Names(), EN) == []


def test_what_is_empty_is_left_out() -> None:
    assert details_of(entry(reason="", order_id=None, origins=[], version=0), Names(), EN) == []


def test_names_stand_for_ids_that_are_known() -> None:
    names = Names({"inst_1": "Support agent"})
    assert target_of(entry("instance.status", "instance", "inst_1"), names) == Detail(
        "Instance", "Support agent"
    )
    assert target_of(entry("instance.status", "instance", "inst_2"), names) == Detail(
        "Instance", "inst_2", "id"
    )
    assert details_of(entry(instance_id="inst_1"), names, EN) == [Detail("Instance", "Support agent")]


def test_what_the_target_says_is_not_said_twice() -> None:
    made = entry("api_key.create", "api_key", "key_1", kind="secret", name="Backend")
    assert target_of(made, Names()) == Detail("Key", "Backend")
    assert details_of(made, Names(), EN) == [Detail("Kind", "Secret")]


def test_an_action_of_another_version_is_still_readable() -> None:
    assert action_of(entry("grant.issue")) == "Gave credits"
    assert action_of(entry("knowledge_source.sync_again")) == "Knowledge source: sync again"


def test_numbers_are_written_where_the_reader_lives() -> None:
    german = Locale.from_header("de-DE")
    assert details_of(entry(amount_micro=1_250_500_000), Names(), german) == [Detail("Credits", "1.250,50")]
