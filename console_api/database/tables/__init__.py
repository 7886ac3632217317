"""Every table. Importing this package registers them all with `Base.metadata`."""

from __future__ import annotations

from console_api.database.tables.alerts import Alert, AlertChannel, AlertDelivery, AlertRule
from console_api.database.tables.billing import (
    Customer,
    Grant,
    GrantCommand,
    Order,
    Payment,
    Subscription,
    TopUp,
    WebhookDelivery,
)
from console_api.database.tables.catalogue import Plan, PriceBookRow, PriceScheduleRow, Product
from console_api.database.tables.connectors import Connector
from console_api.database.tables.control import AuditEntry, Lease, OutboxRow, Secret
from console_api.database.tables.conversations import Conversation, Turn
from console_api.database.tables.directory import Invitation, Membership, Org, Tenant, User
from console_api.database.tables.instances import ApiKey, Instance, InstanceConfig
from console_api.database.tables.knowledge import KnowledgeSource
from console_api.database.tables.meters import MeterDefinition
from console_api.database.tables.operating import DeadLetterRow, ReconciliationRow, RunCorrection

__all__ = [
    "Alert",
    "AlertChannel",
    "AlertDelivery",
    "AlertRule",
    "ApiKey",
    "AuditEntry",
    "Connector",
    "Conversation",
    "Customer",
    "DeadLetterRow",
    "Grant",
    "GrantCommand",
    "Instance",
    "InstanceConfig",
    "Invitation",
    "KnowledgeSource",
    "Lease",
    "Membership",
    "MeterDefinition",
    "Order",
    "Org",
    "OutboxRow",
    "Payment",
    "Plan",
    "PriceBookRow",
    "PriceScheduleRow",
    "Product",
    "ReconciliationRow",
    "RunCorrection",
    "Secret",
    "Subscription",
    "Tenant",
    "TopUp",
    "Turn",
    "User",
    "WebhookDelivery",
]
