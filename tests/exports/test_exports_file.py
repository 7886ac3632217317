"""The file of destinations: what is wrong stops the process with the remedy, and secrets stay out of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from receivers import SECRET

from kit.settings import exports

ROOT = Path(__file__).parents[2]
STRIPE = """
[destinations.stripe]
kind = "stripe"
api_key_env = "STRIPE_KEY"
meters = [{ event_name = "credits", measure = "charged_micro" }]
"""


def written(folder: Path, text: str) -> str:
    path = folder / "exports.toml"
    path.write_text(text)
    return str(path)


def test_secrets_come_from_the_variables_that_the_file_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_KEY", "sk_test_secret")
    found = exports.destinations(written(tmp_path, STRIPE))["stripe"]
    assert isinstance(found, exports.StripeDestination)
    assert found.api_key.get_secret_value() == "sk_test_secret"
    assert "sk_test_secret" not in repr(found)


def test_one_destination_does_not_need_the_others_secrets(tmp_path: Path) -> None:
    file = written(tmp_path, STRIPE + '[destinations.files]\nkind = "files"\nurl = "somewhere"\n')
    assert set(exports.destinations(file, "files")) == {"files"}
    assert exports.names(file) == ["files", "stripe"]


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        (STRIPE, "api_key_env names 'STRIPE_KEY', which is not set"),
        (STRIPE.replace("api_key_env", "api_key"), "say `api_key_env`"),
        (STRIPE.replace('"charged_micro"', '"money"'), "meters.0.measure"),
        (STRIPE.replace('"stripe"\n', '"paper"\n'), "kind"),
        (STRIPE + "unknown = 1\n", "unknown"),
        ('[destinations."A b"]\nkind = "files"\n', "is no name"),
        ("[other]\n", "holds tables named"),
        ("destinations = [", "RUNMETER_EXPORTS_FILE"),
        ('[destinations.h]\nkind = "http"\nurl = "x"\nsecret_env = "PATH"\n', "destinations.h"),
    ],
)
def test_what_is_wrong_is_named_and_no_secret_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, remedy: str
) -> None:
    monkeypatch.setenv("PATH", "a-short-secret")
    if "api_key_env" in text and "names" not in remedy:
        monkeypatch.setenv("STRIPE_KEY", "sk_test_secret")
    with pytest.raises(SystemExit) as stopped:
        exports.destinations(written(tmp_path, text))
    assert remedy in str(stopped.value)
    assert "secret" not in str(stopped.value).replace("secret_env", "").replace("the secret", "")


EXAMPLES = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "exports.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: re.findall(r'kind = "(\w+)"', text)[0])
def test_the_documented_examples_are_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, example: str
) -> None:
    for variable in re.findall(r'_env = "(\w+)"', example):
        monkeypatch.setenv(variable, SECRET)
    assert len(exports.destinations(written(tmp_path, example))) == 1


def test_there_is_an_example_of_every_kind() -> None:
    kinds = {re.findall(r'kind = "(\w+)"', example)[0] for example in EXAMPLES}
    assert kinds == {"openmeter", "stripe", "http", "kafka", "files"}


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="cannot be read"):
        exports.destinations(str(tmp_path / "none.toml"))


def test_an_unknown_destination_is_told_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="there are: stripe"):
        exports.destinations(written(tmp_path, STRIPE), "hook")
