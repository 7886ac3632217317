"""Images are small, pinned, run as nobody, and hold all that their processes import."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from deployment_files import DOCKER, PORTS, compose, manifests, pods
from role_imports import ENTRIES, ROOT, distributions, packages

from stack.cli import COMMANDS

IMAGES = sorted(ENTRIES)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.split("[", maxsplit=1)[0].lower())


def _required(image: str) -> dict[str, str]:
    lines = (DOCKER / "requirements" / f"{image}.in").read_text().split()
    return {_normal(name): version for name, _, version in (line.partition("==") for line in lines)}


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_holds_what_its_process_imports_and_nothing_more_of_ours(image: str) -> None:
    text = (DOCKER / f"{image}.Dockerfile").read_text()
    assert set(re.findall(r"(?m)^COPY (\w+)/ \1/$", text)) == set(packages(image))
    assert set(_required(image)) == {_normal(name) for name in distributions(image)}


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_installs_the_versions_of_the_lock_file(image: str) -> None:
    lock = (ROOT / "requirements.lock").read_text()
    locked = {_normal(n): v for n, v in re.findall(r"(?m)^([\w.-]+)(?:\[[^]]*])?==([^ ;\\]+)", lock)}
    for name, version in _required(image).items():
        assert locked[name] == version, name


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_nobody_and_says_whether_it_is_well(image: str) -> None:
    text = (DOCKER / f"{image}.Dockerfile").read_text()
    assert "USER 10001:10001" in text
    assert "--require-hashes" in text
    assert "HEALTHCHECK" in text
    assert not re.search(r"(?m)^ADD |\bcurl\b|\bsudo\b|^COPY \. ", text)
    if image in PORTS:
        assert f"HEALTH_PORT={PORTS[image]}" in text
        assert f"EXPOSE {PORTS[image]}" in text
    assert f'"{image}"' in (DOCKER / "bake.hcl").read_text()


def test_what_images_copy_is_sent_to_the_engine() -> None:
    sent = (ROOT / ".dockerignore").read_text().splitlines()
    for path in DOCKER.glob("*.Dockerfile"):
        for names in re.findall(r"(?m)^COPY (?!--from)(?:--chmod=\d+ )?(.+) \S+$", path.read_text()):
            for name in names.split():
                ways = {name.rstrip("/"), str(Path(name).parent)}
                assert ways & {line[1:] for line in sent if line.startswith("!")}, f"{path.name}: {name}"


def test_the_operators_command_is_in_the_image_that_is_for_it() -> None:
    assert (
        "COPY --chmod=0755 docker/runmeter.sh /usr/local/bin/runmeter"
        in (DOCKER / "operate.Dockerfile").read_text()
    )
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    command = [str(DOCKER / "runmeter.sh"), "--help"]
    env = {"PATH": path, "PYTHONPATH": str(ROOT)}
    asked = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert all(name in asked.stdout for name in COMMANDS)


def test_every_image_is_pinned_and_no_registry_is_named() -> None:
    named = [
        line.split()[1] for line in (DOCKER / "base.Dockerfile").read_text().splitlines() if "FROM " in line
    ]
    named += [
        service["image"].replace("${RUNMETER_VERSION:-0.1.0}", "0.1.0")
        for service in compose()["services"].values()
    ]
    named += [container["image"] for _, spec in pods(manifests()) for container in spec["containers"]]
    assert len(named) > 30
    for image in named:
        name, _, tag = image.partition(":")
        assert re.match(r"v?\d+\.\d+", tag), f"{image} is not pinned to a full version"
        assert "." not in name.split("/")[0], f"{image} names a registry"
