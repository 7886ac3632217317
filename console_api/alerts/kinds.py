"""The kinds of alerts, with what each is told by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from console_api.database.tables.alerts import RuleTerms

AlertKind = Literal["credits", "cap", "anomaly", "forecast", "payment"]
ChannelKind = Literal["email", "slack", "webhook"]

#: Stands for the org's owners, by e-mail: there without anybody having made it.
OWNERS: Final = "owners"


@dataclass(frozen=True)
class AlertType:
    """One kind: what it is called, and its rule where an org has none of its own."""

    title: str
    description: str
    terms: RuleTerms


TYPES: Final[Mapping[AlertKind, AlertType]] = {
    "credits": AlertType(
        "Credits used",
        "A share of the wallet is used up, counted since credits were last added.",
        RuleTerms(thresholds_permille=(800, 1_000)),
    ),
    "cap": AlertType(
        "Caps reached",
        "An instance has used a share of its daily or monthly cap.",
        RuleTerms(thresholds_permille=(800, 1_000)),
    ),
    "anomaly": AlertType(
        "Unusual spending",
        "An instance spends far more in an hour than it usually does at that time.",
        RuleTerms(minimum_micro=5_000_000),
    ),
    "forecast": AlertType(
        "Credits run out",
        "At the pace of the last days, the credits end soon.",
        RuleTerms(days=7),
    ),
    "payment": AlertType(
        "Payments",
        "An automatic top-up was declined, a subscription's payment is missing, or a payment bought nothing.",
        RuleTerms(),
    ),
}
