"""The whole stack, once for all suites that need it: a plugin, since `tests` and `e2e` share no folder."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from containers import environment, free_ports

_BROWSER_TESTS = Path(__file__).resolve().parents[1] / "e2e"
#: A host name that no name server knows.
QA_CONSOLE = "console.qa.runmeter.example"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The whole stack, as `runmeter up --detach --json` shows it, with its `data_dir`.

    It expects Stripe and a Saleor shop at `stripe_port` and `saleor_port`; a test may put them there. People
    may also sign in at a console of `QA_CONSOLE` at `qa_console_port`.
    """
    data_dir = tmp_path_factory.mktemp("stack")
    outside = free_ports("stripe_port", "saleor_port", "qa_console_port")
    qa_console = f"http://{QA_CONSOLE}:{outside['qa_console_port']}/sign-in/callback"
    settings = {
        "RUNMETER_ISSUER_CLIENTS": f"runmeter-console={qa_console}",
        "RUNMETER_STRIPE_API_KEY": "sk_test_4242",
        "RUNMETER_STRIPE_TENANT_ID": "tenant_demo",
        "RUNMETER_STRIPE_WEBHOOK_SECRETS": "whsec_new",
        "RUNMETER_STRIPE_API_BASE": f"http://127.0.0.1:{outside['stripe_port']}",
        "RUNMETER_SALEOR_URL": f"http://127.0.0.1:{outside['saleor_port']}",
        "RUNMETER_SALEOR_TENANT_ID": "tenant_demo",
    }

    def runmeter(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "stack.cli", *arguments],
            env={**environment(data_dir), **settings},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    started = runmeter("up", "--detach", "--json")
    try:
        assert started.returncode == 0, started.stderr
        yield {**json.loads(started.stdout), **outside, "data_dir": str(data_dir)}
    finally:
        runmeter("down")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of the processes that share the tests one alone starts a whole stack, which takes longest."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("xdist_group").args != ("stack",))  # type: ignore[union-attr]


def _group(item: pytest.Item) -> str:
    used = getattr(item, "fixturenames", ())
    if "stack" in used or item.path.is_relative_to(_BROWSER_TESTS):
        return "stack"
    return "observed" if "observed" in used else str(item.path)
