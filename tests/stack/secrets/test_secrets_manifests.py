"""What External Secrets would fetch: mistakes found before a cluster sees them, and each field on its way."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hvac
import kv_server
import pytest
from kv_server import TOKEN, KvServer
from waiting import PATIENCE_S

from stack.secrets.lint import REQUIRED, known_variables, lint, references, secret_variables
from stack.secrets.manifests import Manifest, read
from stack.secrets.verify import Unreachable, verify

ROOT = Path(__file__).parents[3]
OURS = ROOT / "docker" / "k8s"
VALUE = "a-value-that-nobody-may-see"


@pytest.fixture
def store() -> Iterator[KvServer]:
    with kv_server.running() as server:
        yield server


@pytest.fixture
def ours() -> list[Manifest]:
    return read([OURS])


def fill(store: KvServer, manifests: list[Manifest]) -> None:
    """Put there what the manifests ask for."""
    for reference in references(manifests):
        fields = store.secrets.setdefault(str(reference.key), {})
        assert fields is not None
        fields[str(reference.property)] = VALUE


def changed(tmp_path: Path, old: str, new: str, name: str = "gateway.yaml") -> Path:
    """Return a copy of our manifests in which one file says something else."""
    folder = tmp_path / "k8s"
    for source in (OURS / "base" / "secrets").glob("*.yaml"):
        text = source.read_text()
        if source.name == name:
            assert old in text
            text = text.replace(old, new, 1)
        folder.mkdir(exist_ok=True)
        (folder / source.name).write_text(text)
    return folder


def runmeter(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stack.cli", "secrets", *arguments],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", **environment},
        cwd=ROOT,
        timeout=PATIENCE_S,
        check=False,
    )


def test_our_own_manifests_have_no_mistake(ours: list[Manifest]) -> None:
    assert [str(finding) for finding in lint(ours)] == []
    assert {manifest.kind for manifest in ours} >= {"ClusterSecretStore", "ExternalSecret"}


def test_our_own_manifests_sync(ours: list[Manifest], store: KvServer) -> None:
    fill(store, ours)
    verdicts = verify(ours, hvac.Client(url=store.url, token=TOKEN))

    assert {verdict.status for verdict in verdicts} == {"Synced"}
    assert {f"/v1/secret/data/{reference.key}" for reference in references(ours)} == set(store.asked)
    assert not any(VALUE in str(verdict) for verdict in verdicts)


def test_every_secret_that_production_needs_is_there_and_is_a_secret(ours: list[Manifest]) -> None:
    given = {str(reference.secret_key) for reference in references(ours)}
    assert set(REQUIRED) <= given
    assert set(REQUIRED) <= secret_variables(ours)
    # A URL may carry a password, too.
    assert given <= secret_variables(ours) | {"RUNMETER_REDIS_URL"}
    assert given <= known_variables(ours)


def test_a_secret_that_no_destination_names_is_found(ours: list[Manifest]) -> None:
    """An exporter's variables are those that its file of destinations names."""
    without = [manifest for manifest in ours if manifest.kind != "ConfigMap"]
    said = [str(finding) for finding in lint(without)]
    assert ["ARCHIVE_KEY" in said[0], "ARCHIVE_SECRET" in said[1]] == [True, True]
    assert len(said) == 2


@pytest.mark.parametrize(
    ("old", "new", "said", "line"),
    [
        ("key: runmeter/redis", "key: secret/data/runmeter/redis", "write 'runmeter/redis'", 20),
        ("key: runmeter/redis", "key: data/runmeter/redis", "write 'runmeter/redis'", 20),
        ("key: runmeter/redis", "key: secret/runmeter/redis", "write 'runmeter/redis'", 20),
        ("key: runmeter/redis", "key: /runmeter/redis", "write 'runmeter/redis'", 20),
        ("        property: url\n", "", "no `property`", 20),
        ("secretKey: RUNMETER_REDIS_URL", "secretKey: RUNMETER_REDIS_URI", "no service reads", 18),
        ("secretKey: RUNMETER_GATEWAY_SESSION_SECRETS", "secretKey: RUNMETER_REDIS_URL", "twice", 22),
        ("name: runmeter-vault", "name: vault-backend", "no store 'vault-backend'", 13),
        ("external-secrets.io/v1", "kubernetes-client.io/v1", "write external-secrets.io/v1", 2),
        ("  data:\n", "  dataFrom:\n    - extract: {key: x}\n  other:\n", "warning", 2),
    ],
)
def test_a_mistake_is_named_with_its_line_and_the_remedy(
    tmp_path: Path, old: str, new: str, said: str, line: int
) -> None:
    folder = changed(tmp_path, old, new)
    found = [finding for finding in lint(read([folder])) if said in str(finding)]

    assert len(found) == 1, [str(finding) for finding in lint(read([folder]))]
    assert (Path(found[0].path).name, found[0].line) == ("gateway.yaml", line)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("version: v2", "version: v1", "version: v2"),
        ("      version: v2\n", "", "version: v2"),
        ("      path: secret\n", "", "names no mount"),
        ("path: secret", "path: secret/data", "carries `data`"),
    ],
)
def test_a_store_that_is_wrong_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    folder = changed(tmp_path, old, new, "store.yaml")
    assert any(said in str(finding) for finding in lint(read([folder])))


def test_a_secret_that_nobody_provides_is_missed(tmp_path: Path) -> None:
    folder = changed(tmp_path, "RUNMETER_CONTROL_SERVICE_TOKEN", "RUNMETER_DATA_DIR", "console-api.yaml")
    assert any(
        "no ExternalSecret provides RUNMETER_CONTROL_SERVICE_TOKEN" in str(f) for f in lint(read([folder]))
    )


@pytest.mark.parametrize(
    "wrong", ["secret/data/runmeter/redis", "secret/runmeter/redis", "data/runmeter/redis"]
)
def test_a_wrong_key_never_syncs(tmp_path: Path, store: KvServer, ours: list[Manifest], wrong: str) -> None:
    fill(store, ours)
    manifests = read([changed(tmp_path, "key: runmeter/redis", f"key: {wrong}")])
    verdicts = verify(manifests, hvac.Client(url=store.url, token=TOKEN))

    (bad,) = [verdict for verdict in verdicts if verdict.status != "Synced"]
    assert (bad.secret, bad.field, bad.status) == ("gateway-env", "RUNMETER_REDIS_URL", "missing key")
    # What the operator would have asked for: the mount and `data` twice.
    assert f"/v1/secret/data/{wrong}" in store.asked


def test_what_is_missing_deleted_denied_or_empty_is_said_apart(store: KvServer, ours: list[Manifest]) -> None:
    fill(store, ours)
    store.secrets["runmeter/redis"] = None
    store.denied.add("runmeter/postgresql")
    store.secrets["runmeter/stripe"] = {"api_key": "", "other": VALUE}
    del store.secrets["runmeter/clickhouse"]
    verdicts = verify(ours, hvac.Client(url=store.url, token=TOKEN))
    statuses = {(verdict.secret, verdict.field): verdict.status for verdict in verdicts}

    assert statuses["gateway-env", "RUNMETER_REDIS_URL"] == "deleted"
    assert statuses["console-api-env", "RUNMETER_DATABASE_URL"] == "denied"
    assert statuses["console-api-env", "RUNMETER_STRIPE_API_KEY"] == "empty"
    assert statuses["console-api-env", "RUNMETER_STRIPE_WEBHOOK_SECRETS"] == "missing property"
    assert statuses["warehouse-env", "RUNMETER_CLICKHOUSE_PASSWORD"] == "missing key"
    assert statuses["runner-env", "RUNMETER_RUNNER_MODEL_API_KEY"] == "Synced"


def test_a_store_that_is_away_says_nothing_of_the_token(ours: list[Manifest]) -> None:
    with pytest.raises(Unreachable) as told:
        verify(ours, hvac.Client(url="http://127.0.0.1:1", token=TOKEN, timeout=1))
    assert TOKEN not in str(told.value)


def test_the_commands_end_with_what_they_found(tmp_path: Path, store: KvServer, ours: list[Manifest]) -> None:
    assert runmeter("lint", str(OURS)).returncode == 0
    wrong = changed(tmp_path, "key: runmeter/redis", "key: secret/data/runmeter/redis")
    linted = runmeter("lint", str(wrong), "--json")
    assert linted.returncode == 1
    assert json.loads(linted.stdout)[0]["remedy"] == "write 'runmeter/redis'"
    assert runmeter("lint", str(tmp_path / "nowhere")).returncode == 1

    fill(store, ours)
    asked = {"VAULT_TOKEN": TOKEN, "VAULT_ADDR": store.url}
    assert runmeter("verify", str(OURS), **asked).returncode == 0
    verified = runmeter("verify", str(wrong), **asked)
    assert (verified.returncode, "missing key" in verified.stdout) == (1, True)
    assert VALUE not in verified.stdout + verified.stderr
    refused = runmeter("verify", str(OURS), VAULT_ADDR=store.url)
    assert (refused.returncode, "VAULT_TOKEN" in refused.stderr) == (1, True)
    denied = runmeter("verify", str(OURS), VAULT_ADDR=store.url, VAULT_TOKEN="hvs.other")
    assert (denied.returncode, "denied" in denied.stdout) == (1, True)


def test_yaml_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("a: [")
    answer = runmeter("lint", str(tmp_path))
    assert (answer.returncode, "broken.yaml" in answer.stderr) == (1, True)
