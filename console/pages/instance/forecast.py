"""When the org's credits run out: one sentence, and the way to more of them."""

from __future__ import annotations

import time

from console.api import NotOffered
from console.calls import instances, wallet
from console.calls.instances import PlanLimits
from console.calls.wallet import Forecast
from console.components.button import link_button
from console.components.icon import icon
from console.components.loaded import Loaded
from console.components.text import Text, box, when
from console.formats import Locale
from console.pages.instance.context import InstanceContext

_DAY_MS = 86_400_000
_SOON_DAYS = 7
_EVERY_S = 60.0


def draw(context: InstanceContext) -> None:
    """Draw it."""
    Loaded(
        lambda: _load(context),
        lambda known: _draw(*known, context),
        "forecast",
        count=1,
        every_s=_EVERY_S,
    )


async def _load(context: InstanceContext) -> tuple[Forecast, PlanLimits]:
    """Return the forecast, and what the plan allows when it has come true."""
    found = await wallet.forecast(context.visitor)
    try:
        config, _ = await instances.configuration(context.visitor, context.instance_id)
    except NotOffered:
        return found, PlanLimits()
    return found, config.plan.limits


def says_empty(found: Forecast, plan: PlanLimits, shown: Locale) -> str:
    """Return what it means that no credits are left: runs of a soft plan go on, down to a debt."""
    if plan.soft and found.available_micro + plan.overage_micro > 0:
        most = shown.credits(plan.overage_micro)
        return f"Your organisation has no credits left. Runs go on until it owes {most} credits."
    return "Your organisation has no credits left. New runs are refused."


def _draw(found: Forecast, plan: PlanLimits, context: InstanceContext) -> None:
    shown = context.locale
    now_ms = int(time.time() * 1000)
    soon = found.ends_at_ms and found.ends_at_ms - now_ms < _SOON_DAYS * _DAY_MS
    empty = found.available_micro <= 0
    tone = "bad" if empty else "warn" if soon else "brand"
    with box("div", f"rm-note rm-note--{tone}", testid="forecast"):
        icon("hourglass_bottom" if empty or soon else "trending_down")
        with box("div", "rm-grow"):
            with box("p"):
                if empty:
                    Text("strong", says_empty(found, plan, shown))
                elif found.ends_at_ms:
                    Text("span", "At the pace of the last 7 days, your credits last until ")
                    with box("strong"):
                        when(found.ends_at_ms, "date")
                    Text("span", ".")
                else:
                    Text("span", "At the pace of the last 7 days, your credits last for more than a year.")
            Text(
                "p",
                f"{shown.credits(found.available_micro)} available, "
                f"{shown.credits(found.per_day_micro)} used a day by {found.instances} "
                f"instance{'s' if found.instances != 1 else ''}. Expiries are counted in.",
                "rm-small",
            )
        link_button("Add credits", "/account/wallet", look="secondary", small=True)
