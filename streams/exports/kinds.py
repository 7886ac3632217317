"""Settings of a destination → the destination."""

from __future__ import annotations

from kit.clock import Clock
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
from streams.exports.files import Files
from streams.exports.hook import Hook
from streams.exports.kafka_topic import KafkaTopic
from streams.exports.openmeter import OpenMeter
from streams.exports.port import Destination
from streams.exports.stripe_meters import StripeMeters


def made(settings: Settings, clock: Clock) -> Destination:
    """Return a destination, which is connected when it first delivers. Call it within the loop."""
    match settings:
        case OpenMeterDestination():
            return OpenMeter(settings)
        case StripeDestination():
            return StripeMeters(settings, clock)
        case HttpDestination():
            return Hook(settings, clock)
        case KafkaDestination():
            return KafkaTopic(settings)
        case FilesDestination():
            return Files(settings)
