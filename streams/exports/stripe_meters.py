"""Stripe: a billing meter event per record and meter.

Published rules, and what follows from them (docs.stripe.com, "Record usage for billing with the API"):
- An `identifier` is known again for 24 hours, no longer, and refused then: that is proof of delivery. A
  repeat later than that is not made: see `repeatable_ms`, and `Shipper`. An idempotency key of ours would add
  nothing but a refusal's answer being given again after its cause was mended.
- Meters add up (aggregation `sum`), so an event carries what its revision changes. Values are whole numbers;
  what a correction takes back is a negative quantity, and a billing period below zero is invoiced as 0.
- `timestamp` is within the past 35 days and at most 5 minutes ahead. Stripe judges that after it answered, so
  what it would drop is refused here, where it becomes a dead letter.
- One call at a time per customer and meter; 1,000 calls per second in all.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from hashlib import sha256
from weakref import WeakValueDictionary

import aiohttp
import stripe
from stripe.params.billing import MeterEventCreateParams

from kit.clock import Clock
from kit.settings.exports import StripeDestination, StripeMeter
from schemas.billing import BillingRecord
from streams.exports.customers import Customers
from streams.exports.port import Batch, Item, Reason, Refusal, Unavailable

_DAY_MS = 86_400_000
#: A little inside what Stripe accepts, so that a slow call is not too late.
_OLDEST_MS = 35 * _DAY_MS - 3_600_000
_AHEAD_MS = 4 * 60_000
#: Customers whose events are sent side by side.
_AT_ONCE = 8
_MAX_IDENTIFIER = 100
_MAX_TOLD = 300


class StripeMeters:
    """The meters of one Stripe account."""

    def __init__(self, settings: StripeDestination, clock: Clock, customers: Customers) -> None:
        # Below that level the library logs what it sends, which names customers.
        logging.getLogger("stripe").setLevel(logging.WARNING)
        self.repeatable_ms = settings.repeatable_ms
        self._settings = settings
        self._clock = clock
        self._customers = customers
        self._places = asyncio.Semaphore(_AT_ONCE)
        #: A customer may be several organisations, on several partitions: who calls for it calls alone.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._connections = stripe.AIOHTTPClient(
            timeout=aiohttp.ClientTimeout(total=settings.timeout_ms / 1000)
        )
        self._client = stripe.StripeClient(
            settings.api_key.get_secret_value(),
            http_client=self._connections,
            # Attempts are counted in one place, which knows when they began.
            max_network_retries=0,
            base_addresses={"api": settings.api_base.rstrip("/")},
        )

    async def deliver(self, batch: Batch) -> list[Refusal]:
        items = [item for item in batch.items if self._changes(item.record)]
        customers = {org_id: await self._customers.of(org_id) for org_id in {i.record.org_id for i in items}}
        by_customer: defaultdict[str, list[Item]] = defaultdict(list)
        for item in items:
            by_customer[customers[item.record.org_id]].append(item)
        refusals = self._unknown(by_customer.pop("", []))
        calls = [self._customer(customer, its) for customer, its in by_customer.items()]
        for result in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
            refusals += result
        return refusals

    def _unknown(self, items: list[Item]) -> list[Refusal]:
        if self._settings.unknown_customer == "skip":
            return []
        return [
            Refusal(item, "unknown_customer", f"no Stripe customer is known for {item.record.org_id}")
            for item in items
        ]

    async def _customer(self, customer: str, items: list[Item]) -> list[Refusal]:
        turn = self._turns.setdefault(customer, asyncio.Lock())
        async with turn, self._places:
            found = [await self._item(item, customer) for item in items]
        return [refusal for refusal in found if refusal is not None]

    def _changes(self, record: BillingRecord) -> list[tuple[StripeMeter, int]]:
        changes = [(meter, getattr(record, f"{meter.measure}_change")) for meter in self._settings.meters]
        return [(meter, change) for meter, change in changes if change]

    async def _item(self, item: Item, customer: str) -> Refusal | None:
        changes = self._changes(item.record)
        if problem := self._problem(item.record, min(change for _, change in changes)):
            return Refusal(item, *problem)
        for meter, change in changes:
            if refusal := await self._send(item, meter, change, customer):
                return refusal
        return None

    def _problem(self, record: BillingRecord, least: int) -> tuple[Reason, str] | None:
        age_ms = self._clock() - record.occurred_at_ms
        if age_ms > _OLDEST_MS:
            return "too_old", "Stripe takes no usage that is older than 35 days"
        if age_ms < -_AHEAD_MS:
            return "in_the_future", "Stripe takes no usage more than 5 minutes ahead; check the clocks"
        if least < 0 and self._settings.negative == "dead_letter":
            return "negative", "a correction took usage back; credit it by hand"
        return None

    async def _send(self, item: Item, meter: StripeMeter, change: int, customer: str) -> Refusal | None:
        settings, identifier = self._settings, identifier_of(item.record, meter)
        params: MeterEventCreateParams = {
            "event_name": meter.event_name,
            "identifier": identifier,
            "payload": {settings.customer_key: customer, settings.value_key: str(change)},
            "timestamp": item.record.occurred_at_ms // 1000,
        }
        try:
            await self._client.v1.billing.meter_events.create_async(params)
        except stripe.InvalidRequestError as error:
            text = (error.user_message or str(error))[:_MAX_TOLD]
            if f"already exists with identifier {identifier}" in text:
                # An earlier attempt arrived, and its answer did not.
                return None
            if error.http_status == 404:
                raise Unavailable(f"Stripe does not know the address: {text}", arrived=False) from error
            return Refusal(item, "stripe_refused", text)
        except (stripe.AuthenticationError, stripe.PermissionError) as error:
            # Its message quotes a part of the key.
            raise Unavailable("Stripe refuses our key; check api_key_env", arrived=False) from error
        except stripe.RateLimitError as error:
            raise Unavailable("Stripe asks for fewer calls", arrived=False) from error
        except (stripe.StripeError, aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unavailable(f"Stripe did not answer ({type(error).__name__})") from error
        return None

    async def spans(self, partition: int) -> list[tuple[int, int]]:
        return []

    async def close(self) -> None:
        await self._connections.close_async()  # type: ignore[no-untyped-call]
        await self._customers.close()


def identifier_of(record: BillingRecord, meter: StripeMeter) -> str:
    """Return the event's identifier: of a record and a meter always the same, and at most 100 characters."""
    identifier = f"{record.record_id}.{meter.event_name}"
    if len(identifier) <= _MAX_IDENTIFIER:
        return identifier
    return sha256(identifier.encode()).hexdigest()
