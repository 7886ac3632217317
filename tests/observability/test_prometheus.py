"""Prometheus and Alertmanager, configured as compose does, watch a whole stack: what they see and tell."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from aiokafka import AIOKafkaProducer
from built import program
from containers import free_ports
from mail_server import SENDER, MailServer, Taken, certificate, mail_server
from observed_rules import RULES, alerts
from observed_stack import Observed, answers, process
from waiting import soon

from schemas import topics

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
PROMETHEUS, ALERTMANAGER, PROMTOOL = (program(name) for name in ("prometheus", "alertmanager", "promtool"))
ADDRESSEE, LOGIN = "operators@runmeter.example", ("o'brien", "s3cret-of-the-mail-server")
SECRET_PATH = "s3cret-of-the-hook"
#: Services of compose whose process is called otherwise in the stack.
_PARTS = {"export-archive": "export-lake", "console-api": "console_api", "operate": "reconcile"}

pytestmark = pytest.mark.skipif(
    None in (PROMETHEUS, ALERTMANAGER, PROMTOOL),
    reason="NOT TRIED WITH PROMETHEUS: `make test-tools` gets it",
)


@dataclass(frozen=True)
class Monitored:
    """A stack that Prometheus watches, and what Alertmanager told of it, by mail and to a hook."""

    url: str
    alertmanager_url: str
    mail: MailServer
    hooked: list[dict[str, Any]]

    def ask(self, path: str, **params: str) -> Any:
        """Return what Prometheus' API answers. Raises `AssertionError` with what it finds wrong."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=params)
        assert answer.status_code == 200, f"{params}: {answer.text}"
        return answer.json()["data"]

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        found = self.ask("alerts")["alerts"]
        return {one["labels"]["alertname"] for one in found if one["state"] == "firing"}


@pytest.fixture(scope="module")
def monitored(observed: Observed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    folder = tmp_path_factory.mktemp("monitored")
    ports = free_ports("prometheus", "alertmanager", "reconcile")
    url, alertmanager_url = (f"http://127.0.0.1:{ports[name]}" for name in ("prometheus", "alertmanager"))
    context, authority = certificate(folder)
    with ExitStack() as running:
        mail = running.enter_context(mail_server(context=context, login=LOGIN))
        hook_port, hooked = running.enter_context(_hook())
        running.enter_context(observed.reconciling(ports["reconcile"]))
        told = {
            "ALERTMANAGER_WEBHOOK_URL": f"http://127.0.0.1:{hook_port}/{SECRET_PATH}",
            "ALERTMANAGER_MAIL_TO": ADDRESSEE,
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(mail.port),
            "SMTP_USER": LOGIN[0],
            "SMTP_PASSWORD": LOGIN[1],
            "SMTP_SENDER": SENDER,
            "SSL_CERT_FILE": str(authority),
            "TMPDIR": str(folder),
            "PATH": f"{Path(str(ALERTMANAGER)).parent}:{observed.env['PATH']}",
        }
        running.enter_context(
            process(
                "sh",
                str(DOCKER / "alertmanager" / "start.sh"),
                f"--storage.path={folder / 'alertmanager'}",
                f"--web.listen-address=127.0.0.1:{ports['alertmanager']}",
                "--cluster.listen-address=",
                env=told,
            )
        )
        running.enter_context(
            process(
                str(PROMETHEUS),
                f"--config.file={_configured(folder, {**observed.ports, **ports})}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address=127.0.0.1:{ports['prometheus']}",
                env={},
            )
        )
        for ready in (f"{url}/-/ready", f"{alertmanager_url}/-/ready"):
            soon(lambda ready=ready: answers(ready), f"{ready} answers")  # type: ignore[misc]
        yield Monitored(url, alertmanager_url, mail, hooked)


def _configured(folder: Path, ports: dict[str, int]) -> Path:
    """Write compose's configuration with this machine's addresses and more haste, and else unchanged."""
    config = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    [job] = config["scrape_configs"]
    for target in _targets(job):
        part = _PARTS.get(name := target.partition(":")[0], name)
        port = ports.get(f"{part}_ops") or ports[part]
        job["relabel_configs"].append(
            {
                "source_labels": ["__address__"],
                "regex": target,
                "replacement": f"127.0.0.1:{port}",
                "target_label": "__address__",
            }
        )
    config["alerting"]["alertmanagers"] = [
        {"static_configs": [{"targets": [f"127.0.0.1:{ports['alertmanager']}"]}]}
    ]
    [rules] = config["rule_files"]
    (folder / rules).write_text(RULES.read_text())
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    return file


@contextmanager
def _hook() -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Take what is posted until the block ends; yield the port, and what came."""
    came: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if self.path == f"/{SECRET_PATH}":
                came.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, came
        server.shutdown()


def _targets(job: dict[str, Any]) -> list[str]:
    return [target for one in job["static_configs"] for target in one["targets"]]


async def _publish(observed: Observed, record: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=f"127.0.0.1:{observed.ports['kafka']}") as producer:
        await producer.send_and_wait(topics.RUNS.name, record, key=b"org_poison")


def test_prometheus_can_read_configuration_and_rules(tmp_path: Path) -> None:
    (tmp_path / "alerts.yml").write_text(RULES.read_text())
    config = tmp_path / "prometheus.yml"
    config.write_text((DOCKER / "prometheus" / "prometheus.yaml").read_text())

    checked = subprocess.run(
        [str(PROMTOOL), "check", "config", str(config)], capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_process_is_asked_and_answers_under_its_name(monitored: Monitored) -> None:
    [job] = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yaml").read_text())["scrape_configs"]
    names = {target.partition(":")[0] for target in _targets(job)}

    def up() -> set[str]:
        targets = monitored.ask("targets")["activeTargets"]
        return {one["labels"]["job"] for one in targets if one["health"] == "up"}

    soon(lambda: up() == names, "all are up")
    down = monitored.ask("query", query='up{app_kubernetes_io_part_of="runmeter"} == 0')["result"]
    assert down == []


def test_every_rule_can_be_judged(monitored: Monitored) -> None:
    def judged() -> dict[str, str]:
        rules = [rule for group in monitored.ask("rules")["groups"] for rule in group["rules"]]
        return {rule["name"]: rule["health"] + rule.get("lastError", "") for rule in rules}

    soon(lambda: "unknown" not in judged().values(), "all were judged")
    assert judged() == {rule["alert"]: "ok" for rule in alerts()}


def test_every_panel_of_the_dashboard_can_be_drawn(monitored: Monitored) -> None:
    dashboard = json.loads((ROOT / "docs" / "dashboards" / "operations.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]

    def empty() -> set[str]:
        return {expr for expr in asked if not monitored.ask("query", query=expr)["result"]}

    assert len(asked) > 50
    soon(lambda: not empty(), "every query finds something")


def test_who_operates_is_told_of_what_went_wrong(monitored: Monitored, observed: Observed) -> None:
    def letters() -> list[Any]:
        counted = "sum(runmeter_dead_letters_total{role='metering'})"
        return list(monitored.ask("query", query=counted)["result"])

    # Of other alerts there may be some, too.
    def mails() -> list[Taken]:
        return [one for one in monitored.mail.taken if "RunmeterDeadLetters" in str(one.message["Subject"])]

    def messages() -> list[dict[str, Any]]:
        return [one for one in monitored.hooked if one["groupLabels"]["alertname"] == "RunmeterDeadLetters"]

    # An increase takes a figure from before.
    soon(lambda: bool(letters()), "dead letters are counted")
    asyncio.run(_publish(observed, b"{"))

    soon(lambda: "RunmeterDeadLetters" in monitored.firing(), "the alert fires")
    soon(lambda: bool(mails() and messages()), "a mail and a message arrive")
    [mail], [said] = mails(), messages()
    assert said["commonAnnotations"]["runbook"] == "docs/operations.md#dead-letters"
    assert (mail.recipients, mail.over_tls) == ([ADDRESSEE], True)
    assert mail.message["From"] == SENDER
    assert "metering refused records: " in mail.part("html")
    assert "docs/operations.md#dead-letters" in mail.part("html")
    shown = httpx.get(f"{monitored.alertmanager_url}/api/v2/status").text
    assert ADDRESSEE in shown
    assert LOGIN[1] not in shown
    assert SECRET_PATH not in shown
