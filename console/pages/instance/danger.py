"""What cannot be taken back: the end of an instance."""

from __future__ import annotations

from nicegui import ui

from console.calls import instances as calls
from console.components.button import Button
from console.components.dialog import confirmed
from console.components.loaded import attempt, toast
from console.components.text import box
from console.pages.instance.context import InstanceContext
from console.pages.signed_in import card_head

_WHAT = (
    "Its keys stop working at once, and its subscription is cancelled with it. No money is returned. "
    "Connected services are forgotten, and its knowledge is deleted some days later. This cannot be undone."
)


def draw(context: InstanceContext) -> None:
    """Draw the card; only for those who may end an instance."""

    async def end() -> None:
        ended: list[calls.Ended] = []

        async def call() -> None:
            ended.append(await calls.end(context.visitor, context.instance_id))

        if not await confirmed(f"End {context.instance.name}?", _WHAT, "End it for good"):
            return
        if await attempt(call()):
            if ended[0].provider_told:
                ui.navigate.to("/account/instances")
            else:
                toast(
                    "It has ended. The payment provider could not be told yet, and is asked again.", bad=True
                )

    with (
        box("section", "rm-card", testid="danger"),
        card_head("Danger zone", "End this instance for good. The credits stay your organisation's."),
    ):
        Button("End this instance", end, look="danger", testid="end-instance")
