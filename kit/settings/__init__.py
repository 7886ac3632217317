"""Settings of every service, from `RUNMETER_*` environment variables. Nothing else reads them.

Defaults are the embedded stack's. Each class is one concern; units are in the names. A wrong value stops the
process at start with the variable's name in the message.
"""

from __future__ import annotations

from kit.settings.alerts import AlertSettings, SmtpSettings
from kit.settings.base import load
from kit.settings.control import (
    ConsoleApiSettings,
    ConsoleSettings,
    ControlSettings,
    OidcSettings,
    PaymentsSettings,
    SaleorSettings,
    SecretsSettings,
    StripeSettings,
    WebhookSettings,
)
from kit.settings.embedded import (
    EmbeddedSettings,
    IssuerSettings,
    StackSettings,
)
from kit.settings.exports import ExportsSettings
from kit.settings.knowledge import (
    EmbeddingSettings,
    IngestionSettings,
    KnowledgeSettings,
)
from kit.settings.runs import (
    ConnectorSettings,
    ConversationSettings,
    GatewaySettings,
    IntakeSettings,
    RunnerAccessSettings,
    RunnerSettings,
    WidgetSettings,
    WorkerSettings,
)
from kit.settings.stores import (
    ClickHouseSettings,
    DatabaseSettings,
    KafkaSettings,
    RedisSettings,
    SpoolSettings,
    TracingSettings,
)

__all__ = [
    "AlertSettings",
    "ClickHouseSettings",
    "ConnectorSettings",
    "ConsoleApiSettings",
    "ConsoleSettings",
    "ControlSettings",
    "ConversationSettings",
    "DatabaseSettings",
    "EmbeddedSettings",
    "EmbeddingSettings",
    "ExportsSettings",
    "GatewaySettings",
    "IngestionSettings",
    "IntakeSettings",
    "IssuerSettings",
    "KafkaSettings",
    "KnowledgeSettings",
    "OidcSettings",
    "PaymentsSettings",
    "RedisSettings",
    "RunnerAccessSettings",
    "RunnerSettings",
    "SaleorSettings",
    "SecretsSettings",
    "SmtpSettings",
    "SpoolSettings",
    "StackSettings",
    "StripeSettings",
    "TracingSettings",
    "WebhookSettings",
    "WidgetSettings",
    "WorkerSettings",
    "load",
]
