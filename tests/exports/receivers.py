"""Receivers of billing, each as strict as its publisher says: OpenMeter, Stripe's meters, a signed HTTP hook.

They keep what they accepted, refuse what the real ones refuse, and can be away, failing or slow.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import time
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import msgspec
from aiohttp import web
from stripe_forms import parsed

TOKEN = "om_token_4242"
API_KEY = "sk_test_4242"
SECRET = "whsec_" + b64encode(b"0123456789abcdef0123456789abcdef").decode()
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_DAY_S = 86_400


class Wrong(Exception):
    """A request that the real receiver refuses."""

    def __init__(self, status: int, text: str, **headers: str) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers


class Receiver:
    """What all have in common: an address that stays, and ways to be unwell."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        #: Content by id. Only what was new: a repeat is known again.
        self.kept: dict[str, Any] = {}
        self.repeats = 0
        #: Ids that came with two contents. There must never be one.
        self.torn: list[str] = []
        self.requests = 0
        #: So many requests are answered 500 first; with `after`, their content is kept nevertheless.
        self.failing = 0
        self.after = False
        self.delay_s = 0.0
        #: Ids that are refused for good.
        self.poison: set[str] = set()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _serve(self, request: web.Request) -> web.Response:
        self.requests += 1
        body = await request.read()
        await asyncio.sleep(self.delay_s)
        if self.failing and not self.after:
            self.failing -= 1
            return web.Response(status=500, text="something broke")
        try:
            answer = self.take(request, body)
        except Wrong as error:
            return web.json_response(self.problem(error), status=error.status, headers=error.headers)
        if self.failing:
            self.failing -= 1
            return web.Response(status=503, text="the answer was lost", headers={"Retry-After": "1"})
        return answer

    def take(self, request: web.Request, body: bytes) -> web.Response:
        raise NotImplementedError

    def problem(self, error: Wrong) -> dict[str, Any]:
        return {"title": str(error), "status": error.status}

    def keep(self, name: str, content: Any) -> None:
        if name not in self.kept:
            self.kept[name] = content
            return
        self.repeats += 1
        if self.kept[name] != content:
            self.torn.append(name)


class OpenMeter(Receiver):
    """`POST /api/v1/events`: events by (source, id), meters that sum."""

    def take(self, request: web.Request, body: bytes) -> web.Response:
        if (request.method, request.path) != ("POST", "/api/v1/events"):
            raise Wrong(404, "no such route")
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Wrong(401, "unauthorized")
        if request.content_type != "application/cloudevents-batch+json":
            raise Wrong(415, "unsupported media type")
        events = msgspec.json.decode(body)
        if not isinstance(events, list) or not events:
            raise Wrong(400, "a batch is an array of events")
        for event in events:
            self._check(event)
        for event in events:
            self.keep(f"{event['source']}/{event['id']}", event)
        return web.Response(status=204)

    def _check(self, event: dict[str, Any]) -> None:
        if event.get("specversion") != "1.0":
            raise Wrong(400, "specversion is 1.0")
        for name in ("id", "source", "type", "subject"):
            if not isinstance(event.get(name), str) or not event[name]:
                raise Wrong(400, f"{name} is required")
        if not _RFC3339.fullmatch(event.get("time", "")):
            raise Wrong(400, "time is RFC 3339")
        if not isinstance(event.get("data"), dict):
            raise Wrong(400, "data is an object")
        if event["id"] in self.poison:
            raise Wrong(400, f"{event['id']} is not to our taste")

    def sums(self, value: str) -> dict[str, int]:
        """Return a SUM meter, by subject."""
        found: defaultdict[str, int] = defaultdict(int)
        for event in self.kept.values():
            found[event["subject"]] += event["data"][value]
        return dict(found)

    def ids(self) -> set[str]:
        return {event["id"] for event in self.kept.values()}


class StripeMeters(Receiver):
    """`POST /v1/billing/meter_events`, with an identifier's window, and one call per customer and meter."""

    def __init__(self, port: int, meters: set[str]) -> None:
        super().__init__(port)
        self.meters = meters
        self._calling: set[tuple[str, str]] = set()

    async def _serve(self, request: web.Request) -> web.Response:
        form = parsed((await request.read()).decode())
        who = (str(form.get("payload", {}).get("stripe_customer_id")), str(form.get("event_name")))
        if who in self._calling:
            self.requests += 1
            answer = {"error": {"type": "invalid_request_error", "code": "rate_limit", "message": "one call"}}
            return web.json_response(answer, status=429)
        self._calling.add(who)
        try:
            return await super()._serve(request)
        finally:
            self._calling.discard(who)

    def problem(self, error: Wrong) -> dict[str, Any]:
        return {"error": {"type": "invalid_request_error", "message": str(error)}}

    def take(self, request: web.Request, body: bytes) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {API_KEY}":
            raise Wrong(401, "Invalid API Key provided: sk_test_****")
        if (request.method, request.path) != ("POST", "/v1/billing/meter_events"):
            raise Wrong(404, "Unrecognized request URL")
        if request.content_type != "application/x-www-form-urlencoded" or not request.headers.get(
            "Stripe-Version"
        ):
            raise Wrong(400, "a form, and the version of the API")
        event = parsed(body.decode())
        if unknown := set(event) - {"event_name", "payload", "identifier", "timestamp"}:
            raise Wrong(400, f"Received unknown parameter: {min(unknown)}")
        if event.get("event_name") not in self.meters:
            raise Wrong(400, "No such meter")
        payload, identifier = event.get("payload", {}), event.get("identifier", "")
        if set(payload) != {"stripe_customer_id", "value"} or not payload["stripe_customer_id"]:
            raise Wrong(400, "The payload has the customer and the value")
        if not re.fullmatch(r"-?\d+", payload["value"]):
            raise Wrong(400, "The value is a whole number")
        if not 1 <= len(identifier) <= 100:
            raise Wrong(400, "The identifier has at most 100 characters")
        age_s = time.time() - int(event["timestamp"])
        if not -300 <= age_s <= 35 * _DAY_S:
            raise Wrong(400, "The timestamp is within the past 35 days and 5 minutes ahead at most")
        if identifier in self.poison:
            raise Wrong(400, "Not to our taste")
        known = identifier in self.kept
        self.keep(identifier, event)
        if known:
            raise Wrong(400, f"An event already exists with identifier {identifier}.")
        return web.json_response(
            {
                "object": "billing.meter_event",
                "created": int(time.time()),
                "livemode": False,
                **event,
                "timestamp": int(event["timestamp"]),
            }
        )

    def sums(self, meter: str) -> dict[str, int]:
        """Return a meter with the aggregation `sum`, by customer."""
        found: defaultdict[str, int] = defaultdict(int)
        for event in self.kept.values():
            if event["event_name"] == meter:
                found[event["payload"]["stripe_customer_id"]] += int(event["payload"]["value"])
        return dict(found)


class Hook(Receiver):
    """An address of the operator's own, which checks signatures and counts by `record_id`."""

    def take(self, request: web.Request, body: bytes) -> web.Response:
        message_id, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        if abs(time.time() - int(at)) > 300:
            raise Wrong(400, "the timestamp is too far from now")
        content = f"{message_id}.{at}.".encode() + body
        right = hmac.new(b64decode(SECRET.removeprefix("whsec_")), content, sha256).digest()
        given = request.headers["webhook-signature"].split(" ")
        if f"v1,{b64encode(right).decode()}" not in given:
            raise Wrong(401, "the signature is not ours")
        if request.content_type != "application/json":
            raise Wrong(415, "JSON")
        message = msgspec.json.decode(body)
        if message["type"] != "billing.records" or not _RFC3339.fullmatch(message["timestamp"]):
            raise Wrong(400, "type and timestamp")
        records = message["data"]["records"]
        if any(record["record_id"] in self.poison for record in records):
            raise Wrong(422, "not to our taste")
        for record in records:
            self.keep(record["record_id"], record)
        return web.Response(status=202)


@asynccontextmanager
async def serving(receiver: Receiver) -> AsyncIterator[Receiver]:
    """Serve until the block ends."""
    await receiver.start()
    try:
        yield receiver
    finally:
        await receiver.stop()
