"""How our clients reach Kafka: where it is, and what they show it. Every one of them is made with this."""

from __future__ import annotations

import socket
from typing import Any

from aiokafka.helpers import create_ssl_context

from kit.settings import KafkaSettings


def options(settings: KafkaSettings) -> dict[str, Any]:
    """Return what an aiokafka producer, consumer or admin client is told of its connection.

    Raises `OSError` for a CA file that cannot be read.
    """
    # By this name brokers and operators know whose connection, and whose partition, it is: the pod's, there.
    told: dict[str, Any] = {"bootstrap_servers": settings.bootstrap, "client_id": socket.gethostname()}
    if settings.security_protocol != "PLAINTEXT":
        told["security_protocol"] = settings.security_protocol
    if settings.security_protocol.endswith("SSL"):
        told["ssl_context"] = create_ssl_context(cafile=settings.ca_file or None)
    if settings.security_protocol.startswith("SASL"):
        told["sasl_mechanism"] = settings.sasl_mechanism
        told["sasl_plain_username"] = settings.sasl_username
        told["sasl_plain_password"] = settings.sasl_password.get_secret_value()
    return told
