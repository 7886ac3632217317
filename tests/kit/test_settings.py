from __future__ import annotations

import re
from pathlib import Path

import pytest

from kit import settings
from stack import env_example

ROOT = Path(__file__).parents[2]


def test_the_example_environment_lists_every_setting_with_its_default() -> None:
    written = (ROOT / ".env.example").read_text()

    assert written == env_example.render(), "run `make env-example`"


def test_nothing_in_the_example_is_set() -> None:
    # A copied file that sets RUNMETER_KAFKA_BOOTSTRAP would keep `up` from starting Kafka.
    assert not re.search(r"^RUNMETER_", env_example.render(), re.MULTILINE)


@pytest.mark.parametrize("kind", env_example.classes(), ids=lambda kind: kind.__name__)
def test_every_default_of_the_example_reads_back_as_the_default(
    kind: type[settings._Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = str(kind.model_config.get("env_prefix"))
    for name in kind.model_fields:
        monkeypatch.delenv(f"{prefix}{name.upper()}", raising=False)
    defaults = kind()
    shown = dict(re.findall(r"^#(RUNMETER_\w+)=(.*)$", env_example.render(), re.MULTILINE))
    for name in kind.model_fields:
        monkeypatch.setenv(f"{prefix}{name.upper()}", shown[f"{prefix}{name.upper()}"])

    assert kind() == defaults


def test_no_two_settings_share_a_variable() -> None:
    names = re.findall(r"^#(RUNMETER_\w+)=", env_example.render(), re.MULTILINE)

    assert len(names) == len(set(names))


def test_a_wrong_value_stops_the_process_and_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNMETER_GATEWAY_PORT", "70000")
    settings.load.cache_clear()

    with pytest.raises(SystemExit, match="RUNMETER_GATEWAY_PORT"):
        settings.load(settings.GatewaySettings)
