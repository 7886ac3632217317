"""What the page says to set can be set: it reaches a service, in compose and in Kubernetes."""

from __future__ import annotations

import re

from deployment_files import BASE, DOCKER, EXPORTS, compose, environment, manifests, pods, profile
from role_imports import ROOT

PAGE = (ROOT / "docs" / "deploy.md").read_text()
NAMED = set(re.findall(r"\bRUNMETER_[A-Z_]*[A-Z]\b", PAGE))
#: Files that whoever needs them names beside the others.
PROFILES = {name for path in (DOCKER / "profiles").glob("*.env") for name in profile(f"profiles/{path.name}")}
#: A secret that most installations do not have: the manifests name it in a comment.
BY_HAND = {"RUNMETER_SALEOR_WEBHOOK_SECRET"}


def test_what_the_page_names_reaches_a_service_of_compose() -> None:
    told = {name for service in compose()["services"].values() for name in service.get("environment", {})}
    assert len(NAMED) >= 10
    assert not NAMED - told - PROFILES


def test_what_the_page_names_reaches_a_workload_of_kubernetes() -> None:
    documents = [*manifests(BASE), *manifests(EXPORTS)]
    told = {name for owner, _ in pods(documents) for name in environment(documents, owner)}
    assert not NAMED - told - PROFILES - BY_HAND
    secrets = (BASE / "secrets" / "console-api.yaml").read_text()
    assert all(name in secrets for name in BY_HAND)


def test_weaviate_is_everywhere_the_version_that_is_tested() -> None:
    files = ("docker/compose.yaml", "docs/knowledge.md", "tests/weaviate_server.py")
    named = [
        re.findall(r"weaviate(?:-server@v|:)(\d+\.\d+\.\d+)", (ROOT / file).read_text()) for file in files
    ]
    assert named == [["1.34.0"]] * 3


def test_buyers_come_back_to_the_console_that_people_reach() -> None:
    told = compose()["services"]["console-api"]["environment"]["RUNMETER_PAYMENTS_RETURN_URL"]
    console = compose()["services"]["console"]["environment"]["RUNMETER_CONSOLE_BASE_URL"]
    assert told == "${RUNMETER_PAYMENTS_RETURN_URL:-" + console + "/account/orders}"
