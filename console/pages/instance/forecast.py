"""When the org's credits run out: one sentence, and the way to more of them."""

from __future__ import annotations

import time

from console.calls import wallet
from console.calls.wallet import Forecast
from console.components.button import link_button
from console.components.icon import icon
from console.components.loaded import Loaded
from console.components.text import Text, box, when
from console.pages.instance.context import InstanceContext

_DAY_MS = 86_400_000
_SOON_DAYS = 7
_EVERY_S = 60.0


def draw(context: InstanceContext) -> None:
    """Draw it."""
    Loaded(
        lambda: wallet.forecast(context.visitor),
        lambda found: _draw(found, context),
        "forecast",
        count=1,
        every_s=_EVERY_S,
    )


def _draw(found: Forecast, context: InstanceContext) -> None:
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
                    Text("strong", "Your organisation has no credits left. New runs are refused.")
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
