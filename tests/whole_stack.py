"""The whole stack, once for all suites that need it: a plugin, since `tests` and `e2e` share no folder."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from containers import PATIENT, environment, free_ports

_BROWSER_TESTS = Path(__file__).resolve().parents[1] / "e2e"
#: A host name that no name server knows.
QA_CONSOLE = "console.qa.runmeter.example"


@pytest.fixture(scope="session")
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """The whole stack, as `runmeter up --detach --json` shows it, with its `data_dir`.

    It expects Stripe and a Saleor shop at `stripe_port` and `saleor_port`; a test may put them there. People
    may also sign in at a console of `QA_CONSOLE` at `qa_console_port`.
    """
    data_dir = tmp_path_factory.mktemp("stack")
    outside = free_ports("stripe_port", "saleor_port", "qa_console_port")
    qa_console = f"http://{QA_CONSOLE}:{outside['qa_console_port']}/sign-in/callback"
    settings = {
        **PATIENT,
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

    until_its_tests_are_over(request.config, "stack", partial(runmeter, "down"))
    started = runmeter("up", "--detach", "--json")
    try:
        assert started.returncode == 0, started.stderr
        yield {**json.loads(started.stdout), **outside, "data_dir": str(data_dir)}
    finally:
        end(request.config, "stack")


#: What a test of each kind starts that is too much to run twice, or beside the other.
_WHOLE = ("stack", "observed")
_ENDS: pytest.StashKey[dict[str, Callable[[], object]]] = pytest.StashKey()


def until_its_tests_are_over(config: pytest.Config, group: str, down: Callable[[], object]) -> None:
    """Call `down` when the next test needs the stack no more: one that idles costs half a core."""
    config.stash.setdefault(_ENDS, {})[group] = down


def end(config: pytest.Config, group: str) -> None:
    """Call what was to be called for a group, if that has not been."""
    if down := config.stash.get(_ENDS, {}).pop(group, None):
        down()


# Before xdist's own, which reads the marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep files together, and all that needs a whole stack, which takes longest and so begins first."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=lambda item: _group(item) not in _WHOLE)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Say so where the groups are not kept, which else shows only in the hours."""
    option = session.config.option
    if getattr(option, "loadgroup", False) and any("@" not in item.nodeid for item in session.items):
        raise pytest.UsageError("this pytest and this pytest-xdist know different names of a test")


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    if nextitem is None or _group(nextitem) != _group(item):
        end(item.config, _group(item))


def _group(item: pytest.Item) -> str:
    used = getattr(item, "fixturenames", ())
    if "stack" in used or item.path.is_relative_to(_BROWSER_TESTS):
        return "stack"
    return "observed" if "observed" in used else item.path.stem
