"""The end-to-end suites name no installation in their code, and read the environment as they say."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

E2E = Path(__file__).parents[2] / "e2e"
_URL = re.compile(r"(?:https?|wss?)://|localhost|\b\d+\.\d+\.\d+\.\d+\b")


def _environment() -> ModuleType:
    spec = importlib.util.spec_from_file_location("e2e_environment", E2E / "environment.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", sorted(E2E.rglob("*.py")), ids=lambda path: path.name)
def test_no_address_stands_in_the_code(path: Path) -> None:
    assert _URL.findall(path.read_text()) == []


@pytest.mark.parametrize(
    "planted", ["http://127.0.0.1:1", '"https://console.example"', "localhost:80", "10.0.0.1"]
)
def test_an_address_is_found(planted: str) -> None:
    assert _URL.search(planted)


@pytest.mark.parametrize("name", ["local", "qa", "prod"])
def test_each_environment_names_all_three_addresses_and_no_credential(name: str) -> None:
    text = (E2E / "environments" / f"{name}.env").read_text()
    assert not re.search(r"^E2E_(TOKEN|USER|PASSWORD)=", text, re.MULTILINE)
    target = _environment().load(name, {"E2E_TOKEN": "t", "E2E_BASE_URL": "https://other.example/"})
    assert target.base_url == "https://other.example"
    assert target.token == "t"
    assert target.cp_url
    assert target.gateway_url


def test_nothing_is_bought_in_production() -> None:
    assert not _environment().load("prod", {}).may_buy


def test_an_unknown_environment_is_refused() -> None:
    with pytest.raises(SystemExit, match=r"known are local, prod, qa"):
        _environment().load("staging", {})
