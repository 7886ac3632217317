"""The `replay` subcommand, against the stack that runs or the Kafka of the settings."""

from __future__ import annotations

import argparse
import asyncio
import os

from aiokafka.errors import KafkaError

from kit.settings import KafkaSettings
from stack import up
from stack.errors import StackError
from streams import replay

add_arguments = replay.add_arguments


def run(args: argparse.Namespace) -> int:
    """Replay, and say how many letters of which topic and reason."""
    running = up.running(up.data_dir())
    if running is not None:
        kafka = KafkaSettings(bootstrap=running.urls.kafka_bootstrap)
    elif "RUNMETER_KAFKA_BOOTSTRAP" in os.environ:
        kafka = KafkaSettings()
    else:
        raise StackError("no stack runs here: start one with `runmeter up`, or set RUNMETER_KAFKA_BOOTSTRAP")
    wanted = {"topic": args.topic, "reason": args.reason, "limit": args.limit, "dry_run": args.dry_run}
    try:
        counted = asyncio.run(replay.replay(kafka, **wanted))
    except KafkaError as error:
        raise StackError(f"Kafka at {kafka.bootstrap} did not answer: {error}") from error
    for (topic, reason), count in sorted(counted.items()):
        print(f"{count:8} {topic:20} {reason}")
    print(f"{counted.total():8} {'would be replayed' if args.dry_run else 'replayed'}")
    return 0
