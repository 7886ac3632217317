"""The embedded stack exports where destinations are configured, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack import layout
from stack.access import demo_access

FILE = """
[destinations.archive]
kind = "files"
url = "somewhere"

[destinations.b]
kind = "files"
url = "b"
"""


def planned(folder: Path) -> layout.Layout:
    return layout.plan(folder, {}, demo_access(folder))


def test_nothing_is_exported_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNMETER_EXPORTS_FILE", raising=False)
    names = {spec.name for spec in planned(tmp_path).workers()}
    assert names == {"metering", "warehouse", "relay", "ingestion"}


def test_each_destination_has_an_exporter_with_a_port_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "exports.toml").write_text(FILE)
    monkeypatch.setenv("RUNMETER_EXPORTS_FILE", str(tmp_path / "exports.toml"))
    specs = {spec.name: spec for spec in planned(tmp_path).workers()}
    assert {"billing", "export-archive", "export-b"} <= set(specs)
    assert specs["export-b"].env["RUNMETER_EXPORTS_DESTINATION"] == "b"
    ports = {spec.env["RUNMETER_WORKER_METRICS_PORT"] for spec in specs.values() if spec.name != "ingestion"}
    assert len(ports) == 6


def test_a_file_that_is_wrong_stops_the_stack_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "exports.toml").write_text(FILE.replace("kind", "kin"))
    monkeypatch.setenv("RUNMETER_EXPORTS_FILE", str(tmp_path / "exports.toml"))
    with pytest.raises(SystemExit, match="destinations"):
        planned(tmp_path)
