"""The peer: a stock Faust agent that only decodes and counts. Prints a line each 50,000 events."""

from __future__ import annotations

import os
import sys
import time

import faust
import msgspec

app = faust.App(
    "bench-stock",
    broker=f"kafka://{os.environ['RUNMETER_KAFKA_BOOTSTRAP']}",
    store="memory://",
    datadir=os.environ["RUNMETER_DATA_DIR"],
    web_enabled=False,
    topic_disable_leader=True,
    topic_allow_declare=False,
    consumer_auto_offset_reset="earliest",
    stream_buffer_maxsize=16_384,
    worker_redirect_stdouts=False,
)
source = app.topic("usage.runs", "usage.tokens", "usage.tool_calls", value_type=bytes, value_serializer="raw")
decode = msgspec.json.Decoder().decode
counts: dict[str, int] = {}
EVERY = 50_000


@app.agent(source)
async def count(stream):  # type: ignore[no-untyped-def]
    seen, began = 0, 0.0
    async for value in stream:
        event = decode(value)
        instance = event["instance_id"]
        counts[instance] = counts.get(instance, 0) + 1
        began = began or time.perf_counter()
        seen += 1
        if seen % EVERY == 0:
            print(f"BENCH {seen} {time.perf_counter() - began:.4f} {time.process_time():.4f}", flush=True)


if __name__ == "__main__":
    faust.Worker(app, loglevel="ERROR", quiet=True).execute_from_commandline()
    sys.exit(0)
