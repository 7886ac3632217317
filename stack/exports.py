"""The `exports` subcommand: how far destinations are, and delivering again."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
from datetime import UTC, datetime

import msgspec
from aiokafka.errors import KafkaError

from kit import clock, logs
from kit.settings import ExportsSettings, KafkaSettings, RedisSettings, load
from kit.settings import exports as settings
from stack import up
from stack.errors import StackError
from streams.exports import kinds, ranges
from streams.exports.port import Unavailable
from streams.exports.replaying import CannotReplay, Outcome, Replay
from streams.exports.shipper import Shipper

_SHOWN_REFUSALS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    commands = parser.add_subparsers(dest="exports_command", required=True)
    status = commands.add_parser("status", help="lag, what was delivered and refused, the last error")
    status.add_argument("--json", action="store_true", help="print one JSON object")
    check = commands.add_parser("check", help="read the file and the variables it names")
    check.set_defaults(json=False)
    replay = commands.add_parser("replay", help="deliver again, under the same ids")
    replay.add_argument("name", help="the destination")
    what = replay.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--from", dest="since", type=_moment, help="from what was recorded then: 2026-01-31T12:00:00Z"
    )
    what.add_argument("--dead-letters", action="store_true", help="what the receiver refused")
    replay.add_argument("--reason", default="", help="only dead letters with this reason")
    replay.add_argument(
        "--not-received", action="store_true", help="the receiver has none of it, whatever its age"
    )


def run(args: argparse.Namespace) -> int:
    """Show or replay. 1 when a destination fails, or refused something."""
    file = load(ExportsSettings).file
    if not file:
        raise StackError("nothing is exported: name a file of destinations in RUNMETER_EXPORTS_FILE")
    if args.exports_command == "check":
        for name, destination in settings.destinations(file).items():
            print(f"{name:20} {destination.kind}")
        return 0
    kafka = _kafka()
    try:
        if args.exports_command == "status":
            return asyncio.run(_status(kafka, settings.names(file), as_json=args.json))
        return asyncio.run(_replay(kafka, file, args))
    except KafkaError as error:
        raise StackError(f"Kafka at {kafka.bootstrap} did not answer: {error}") from error
    except (CannotReplay, Unavailable) as error:
        raise StackError(str(error)) from error


def _kafka() -> KafkaSettings:
    running = up.running(up.data_dir())
    if running is not None:
        return KafkaSettings(bootstrap=running.urls.kafka_bootstrap)
    if "RUNMETER_KAFKA_BOOTSTRAP" in os.environ:
        return KafkaSettings()
    raise StackError("no stack runs here: start one with `runmeter up`, or set RUNMETER_KAFKA_BOOTSTRAP")


def _redis() -> RedisSettings:
    running = up.running(up.data_dir())
    return RedisSettings(url=running.urls.redis_url) if running is not None else RedisSettings()


def _moment(text: str) -> int:
    """Return an ISO 8601 time, UTC where it names no zone, as Unix milliseconds."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 2026-01-31T12:00:00Z") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


async def status_of(kafka: KafkaSettings, name: str) -> dict[str, object]:
    """Return how far a destination is, added up over its partitions."""
    done, bounds = await ranges.committed(kafka, name), await ranges.bounds(kafka)
    known = [progress for _, progress in done.values()]
    last = max(known, key=lambda progress: progress.error_at_ms, default=None)
    return {
        "name": name,
        "lag": sum(end - done.get(p, (first, None))[0] for p, (first, end) in bounds.items()),
        "delivered": sum(progress.delivered for progress in known),
        "refused": sum(progress.refused for progress in known),
        "failing": sum(progress.failing for progress in known),
        "last_error": last.error if last else "",
        "last_error_at_ms": last.error_at_ms if last else 0,
    }


async def _status(kafka: KafkaSettings, names: list[str], *, as_json: bool) -> int:
    found = [await status_of(kafka, name) for name in names]
    if as_json:
        print(msgspec.json.encode({"destinations": found}).decode())
    else:
        print(f"{'destination':20} {'lag':>8} {'delivered':>10} {'refused':>8}  state")
        for one in found:
            print(
                f"{one['name']:20} {one['lag']:8} {one['delivered']:10} {one['refused']:8}  "
                f"{'waits for the receiver' if one['failing'] else 'ok'}"
            )
            if one["last_error"]:
                print(f"{'':20} last error {_time(one['last_error_at_ms'])}: {one['last_error']}")
    return 1 if any(one["failing"] for one in found) else 0


def _time(unix_ms: object) -> str:
    return datetime.fromtimestamp(int(str(unix_ms)) // 1000, UTC).isoformat().replace("+00:00", "Z")


async def _replay(kafka: KafkaSettings, file: str, args: argparse.Namespace) -> int:
    logs.configure("exports", "WARNING")
    chosen = settings.destinations(file, args.name)[args.name]
    destination = kinds.made(chosen, clock.now_ms, _redis())
    chance = random.SystemRandom().random
    shipper = Shipper(args.name, destination, load(ExportsSettings), clock=clock.now_ms, chance=chance)
    replay = Replay(kafka, args.name, chosen, destination, shipper, clock.now_ms, args.not_received)
    try:
        if args.dead_letters:
            return _said(await replay.dead_letters(args.reason))
        return _said(await replay.since(args.since))
    finally:
        await destination.close()


def _said(outcome: Outcome) -> int:
    print(f"{outcome.delivered:8} delivered")
    print(f"{len(outcome.refusals):8} refused")
    if outcome.unreadable:
        print(f"{outcome.unreadable:8} unreadable")
    for refusal in outcome.refusals[:_SHOWN_REFUSALS]:
        print(f"  {refusal.item.record.record_id}: {refusal.reason}: {refusal.detail}", file=sys.stderr)
    return 1 if outcome.refusals else 0
