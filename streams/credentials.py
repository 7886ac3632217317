"""What Faust's own consumer and producer show Kafka: `kit.kafka_access`, in Faust's words."""

from __future__ import annotations

from faust.auth import Credentials, SASLCredentials, SSLCredentials

from kit import kafka_access
from kit.settings import KafkaSettings


def credentials(settings: KafkaSettings) -> Credentials | None:
    """Return a worker's credentials, none where Kafka asks for none."""
    told = kafka_access.options(settings)
    context = told.get("ssl_context")
    if "sasl_mechanism" in told:
        return SASLCredentials(
            username=told["sasl_plain_username"],
            password=told["sasl_plain_password"],
            mechanism=told["sasl_mechanism"],
            ssl_context=context,
        )
    return SSLCredentials(context) if context is not None else None
