from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

import pytest
from containers import PATIENT, environment
from observed_stack import Observed, command
from otlp_receiver import Receiver
from whole_stack import end, until_its_tests_are_over

TOKEN = "Bearer otlp-5bd2"
#: So that billing records are made and told, too.
_EXPORTS = """[destinations.lake]
kind = "files"
url = "{}"
"""


@pytest.fixture(scope="session")
def observed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    data_dir, receiver = tmp_path_factory.mktemp("observed"), Receiver(TOKEN)
    exports = tmp_path_factory.mktemp("exports") / "exports.toml"
    exports.write_text(_EXPORTS.format(tmp_path_factory.mktemp("lake")))
    env = {
        **environment(data_dir),
        **PATIENT,
        "RUNMETER_OTLP_ENDPOINT": receiver.url,
        "RUNMETER_EXPORTS_FILE": str(exports),
        "RUNMETER_OTLP_HEADERS": f"Authorization={TOKEN}",
        "RUNMETER_OTLP_EXPORT_INTERVAL_MS": "100",
    }
    until_its_tests_are_over(request.config, "observed", partial(command, env, "down"))
    started = command(env, "up", "--detach", "--json")
    try:
        assert started.returncode == 0, started.stderr
        ports = json.loads((data_dir / "state.json").read_text())["ports"]
        yield Observed(json.loads(started.stdout), ports, data_dir, receiver, env)
    finally:
        end(request.config, "observed")
        receiver.close()
