"""What we depend on has no known vulnerabilities, as far as anyone here can be asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
