"""Settings of a destination → the destination."""

from __future__ import annotations

from kit import redis_client
from kit.clock import Clock
from kit.settings import RedisSettings
from kit.settings.exports import (
    Destination as Settings,
)
from kit.settings.exports import (
    FilesDestination,
    HttpDestination,
    KafkaDestination,
    OpenMeterDestination,
    StripeDestination,
)
from streams.exports.customers import Customers, NamedCustomers, ProjectedCustomers
from streams.exports.files import Files
from streams.exports.hook import Hook
from streams.exports.kafka_topic import KafkaTopic
from streams.exports.openmeter import OpenMeter
from streams.exports.port import Destination
from streams.exports.stripe_meters import StripeMeters


def made(settings: Settings, clock: Clock, redis: RedisSettings) -> Destination:
    """Return a destination, which is connected when it first delivers. Call it within the loop.

    `redis` holds the control plane's projections, for a destination that reads any.
    """
    match settings:
        case OpenMeterDestination():
            return OpenMeter(settings)
        case StripeDestination():
            return StripeMeters(settings, clock, _customers(settings, redis))
        case HttpDestination():
            return Hook(settings, clock)
        case KafkaDestination():
            return KafkaTopic(settings)
        case FilesDestination():
            return Files(settings)


def _customers(settings: StripeDestination, redis: RedisSettings) -> Customers:
    if settings.customers_from == "file":
        return NamedCustomers(settings.customers)
    return ProjectedCustomers(settings.customers, redis_client.connect(redis))
