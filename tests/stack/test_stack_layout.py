"""What a stack tells its parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack import layout
from stack.access import demo_access

_VARIABLE = "RUNMETER_RUNNER_SERVICE_TOKENS"


def _told(folder: Path) -> dict[str, str]:
    specs = layout.plan(folder, {}, demo_access(folder)).edge_services()
    return {spec.name: spec.env[_VARIABLE] for spec in specs if _VARIABLE in spec.env}


def test_gateway_and_runner_alone_know_the_token_between_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(_VARIABLE, raising=False)
    told = _told(tmp_path)
    assert set(told) == {"gateway", "runner"}
    assert len(set(told.values())) == 1
    assert len(told["runner"]) >= 32
    assert told != _told(tmp_path)


def test_a_token_that_is_set_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_VARIABLE, "one-that-somebody-set-for-all-of-them")
    assert set(_told(tmp_path).values()) == {"one-that-somebody-set-for-all-of-them"}
