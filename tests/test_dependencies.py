"""What we depend on is declared, and has no known vulnerabilities as far as anyone here can be asked."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from parsed import parsed

ROOT = Path(__file__).parents[1]
#: Known, looked at, and not a danger to us: id → why.
ACCEPTED: dict[str, str] = {}


def test_no_locked_dependency_has_a_known_vulnerability() -> None:
    try:
        asked = subprocess.run(
            [
                *(
                    sys.executable,
                    "-m",
                    "pip_audit",
                    "--requirement",
                    "requirements.lock",
                    "--require-hashes",
                ),
                *("--disable-pip", "--format", "json", "--progress-spinner", "off", "--timeout", "5"),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip("the vulnerability database does not answer")
    if not asked.stdout.startswith("{"):
        pytest.skip(f"the vulnerability database cannot be asked: {asked.stderr.strip()[-200:]}")
    found = json.loads(asked.stdout)["dependencies"]
    audited = [package for package in found if "skip_reason" not in package]
    if not audited:
        pytest.skip("the vulnerability database knows none of our dependencies: it is not the real one")
    assert {
        f"{package['name']} {package['version']}: {known['id']}, fixed in {known['fix_versions']}"
        for package in audited
        for known in package["vulns"]
        if known["id"] not in ACCEPTED
    } == set()


def test_what_the_product_imports_is_declared() -> None:
    """What comes only because something else needs it goes when that no longer does."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = {_plain(re.split(r"[^\w.-]", one)[0]) for one in settings["project"]["dependencies"]}
    ours = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    homes = packages_distributions()

    files = [file for part in ours for file in (ROOT / part).rglob("*.py")]
    foreign = {top for file in files for top in _imported(file)} - sys.stdlib_module_names - set(ours)

    assert "aiohttp" in foreign
    assert {top for top in foreign if not declared & {_plain(home) for home in homes.get(top, [])}} == set()


def _imported(file: Path) -> Iterator[str]:
    for node in ast.walk(parsed(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def _plain(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
