"""This service's metrics; declared in `kit.metrics.serving`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from kit.metrics import counter, gauge, histogram, serving
from kit.metrics.registry import LAG, STALLED_SECONDS


class Metrics:
    """One registry per app, so that two apps in one process do not share numbers."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        #: By route template, never by raw path: ids would explode it.
        self.requests = counter(serving.API_REQUESTS, own)
        self.latency = histogram(serving.API_SECONDS, own)
        #: Against their limit.
        self.live_viewers = gauge(serving.LIVE_VIEWERS, own)
        #: The load that live puts on Redis.
        self.live_hubs = gauge(serving.LIVE_HUBS, own)
        self.live_polls = counter(serving.LIVE_POLLS, own)
        self.live_poll_seconds = histogram(serving.LIVE_POLL_SECONDS, own)
        #: Of a rotation of `RUNMETER_SECRETS_KEYS`: at 0 the older keys can be taken out.
        self.older_seals = gauge(serving.OLDER_SEALS, own)
        #: None for long: is `credits.limits` heard, is spending watched?
        self.alerts = counter(serving.ALERTS, own)
        #: Watch `dead`.
        self.alert_deliveries = counter(serving.ALERT_DELIVERIES, own)
        #: A number that stays up is a receiver, or a mail server, that is away.
        self.alerts_waiting = gauge(serving.ALERTS_WAITING, own)
        #: Of what this process hears, as workers tell theirs.
        self.lag = gauge(LAG, own)
        self.stalled = gauge(STALLED_SECONDS, own)
        #: Written by `console_api.backlog`. A revoked key goes by the lane `redis`.
        self.outbox_rows = gauge(serving.OUTBOX_ROWS, own)
        self.outbox_age = gauge(serving.OUTBOX_AGE_SECONDS, own)
        #: Each is a change that gateways or workers never hear of.
        self.outbox_parked = gauge(serving.OUTBOX_PARKED, own)
        #: Somebody paid and has nothing.
        self.orders_stuck = gauge(serving.ORDERS_STUCK, own)
        #: What a payment provider told in vain.
        self.webhooks_failed = gauge(serving.WEBHOOKS_FAILED, own)
