"""Every metric of this service, with what it is for."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """One registry per app, so that two apps in one process do not share numbers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        #: Traffic and errors, by route template (never by raw path: ids would explode it).
        self.requests = Counter(
            "runmeter_console_api_requests",
            "Requests answered",
            ("method", "route", "status"),
            registry=self.registry,
        )
        #: Time to the end of the answer; live streams are left out.
        self.latency = Histogram(
            "runmeter_console_api_request_seconds",
            "Time to answer",
            ("route",),
            registry=self.registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        )
        #: Open live streams, against their limit.
        self.live_viewers = Gauge(
            "runmeter_console_api_live_viewers", "Open live streams", registry=self.registry
        )
        #: Instances being polled: the load that live puts on Redis.
        self.live_hubs = Gauge(
            "runmeter_console_api_live_hubs", "Instances being watched", registry=self.registry
        )
        #: Polls of Redis by extent: `recent` windows, or `all` because an older one changed.
        self.live_polls = Counter(
            "runmeter_console_api_live_polls", "Reads of live counters", ("extent",), registry=self.registry
        )
        #: A poll slower than the interval means stale charts.
        self.live_poll_seconds = Histogram(
            "runmeter_console_api_live_poll_seconds",
            "Time of one read of live counters",
            registry=self.registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1),
        )
        #: Of a rotation of `RUNMETER_SECRETS_KEYS`: at 0 the older keys can be taken out.
        self.older_seals = Gauge(
            "runmeter_console_api_secrets_sealed_with_older_keys",
            "Secrets that are not sealed with the newest key yet",
            registry=self.registry,
        )
        #: What orgs were told of, by kind. None for long: is `credits.limits` heard, is spending watched?
        self.alerts = Counter(
            "runmeter_console_api_alerts", "Alerts written down", ("kind",), registry=self.registry
        )
        #: Attempts by what came of them: `sent`, `retried`, `dead`, `skipped`. Watch `dead`.
        self.alert_deliveries = Counter(
            "runmeter_console_api_alert_deliveries",
            "Attempts to deliver an alert",
            ("outcome",),
            registry=self.registry,
        )
        #: Messages not sent yet; a number that stays up is a receiver, or a mail server, that is away.
        self.alerts_waiting = Gauge(
            "runmeter_console_api_alerts_waiting", "Messages of alerts that wait", registry=self.registry
        )
