"""Overview: what to do first, the figures of now, the newest runs, and how to call it."""

from __future__ import annotations

from console.components.button import link_button
from console.components.code import code_block
from console.components.fields import Segments
from console.components.runs_table import runs_table
from console.components.text import Text, box, link
from console.pages.instance.checklist import checklist
from console.pages.instance.context import InstanceContext
from console.pages.instance.health import health
from console.pages.instance.snippets import QUICK_STARTS
from console.pages.live_usage import connect, live_charts, live_tiles, out_of_credits
from console.pages.signed_in import card_head


def draw(context: InstanceContext) -> None:
    with box("div", "rm-stack"):
        out_of_credits()
        health(context)
        checklist(context)
        live_tiles()
        live_charts()
        runs_table(context.path("runs"))
        _conversations(context)
        _quick_start(context)
    connect(context)


def _conversations(context: InstanceContext) -> None:
    with (
        box("section", "rm-card"),
        card_head("Conversations", "What visitors asked, and what they thought of the answers."),
    ):
        link_button("Read them", context.path("conversations"), look="secondary", small=True)


def _quick_start(context: InstanceContext) -> None:
    gateway = context.services.gateway_url
    with box("section", "rm-card"):
        with card_head("Quick start", "Call this instance from your own code."):
            choices = {key: name for key, (name, _) in QUICK_STARTS.items()}
            languages = Segments("Language", choices, "curl")
        code = code_block(QUICK_STARTS["curl"][1](gateway), testid="quick-start")
        with box("p", "rm-muted rm-small rm-quick"):
            Text("span", "Replace YOUR_KEY with a secret key from ")
            link("Channels", context.path("channels"))
            Text("span", ". Keep it on your server: it is never shown again after it was made.")

    def show(key: str) -> None:
        code.text = QUICK_STARTS[key][1](gateway)

    languages.on_change = show
