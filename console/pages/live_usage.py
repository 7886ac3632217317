"""The live part of a tab: tiles, charts and the newest runs, fed by the live stream."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from nicegui import ui

from console.components.button import link_button
from console.components.chart import Series, live_chart
from console.components.icon import icon
from console.components.text import Text, box
from console.components.tile import Formula, tile
from console.pages.frame import static_url
from console.pages.instance.context import InstanceContext

_FAILED = ("failed", "limit_exceeded", "lost")
_MICRO = 1e-6


def out_of_credits() -> None:
    """Say so as soon as nothing is left; shown and taken away again by the live figures."""
    with box("div", "rm-note rm-note--bad", testid="out-of-credits") as banner:
        banner.props('data-live-empty hidden role="status"')
        icon("credit_card_off")
        with box("div", "rm-grow"):
            Text("strong", "Your organisation has no credits left.")
            Text("p", "What runs still hold is not available to new ones.", "rm-small")
        link_button("Add credits", "/account/buy?kind=credits", small=True)


def live_tiles() -> None:
    """Draw the figures of now."""

    def counted(testid: str, label: str, *fields: str) -> None:
        tile(testid, label, "integer", Formula(plus=fields), Formula(plus=fields, source="hour"))

    with box("section").props('aria-labelledby="figures"'):
        Text("h2", "Figures", "rm-hidden").props('id="figures"')
        with box("dl", "rm-tiles"):
            counted("runs", "Runs", "runs")
            completed = Formula(plus=("completed",), per=("runs",))
            tile(
                "success-rate",
                "Success rate",
                "percent",
                completed,
                msgspec.structs.replace(completed, source="hour"),
            )
            counted("tokens-in", "Tokens in", "tokens_in")
            counted("tokens-out", "Tokens out", "tokens_out")
            counted("tool-calls", "Tool calls", "tool_calls")
            used = Formula(plus=("credits_micro",), scale=_MICRO)
            tile(
                "credits-used", "Credits used", "credits", used, msgspec.structs.replace(used, source="hour")
            )
            _wallet_tile("balance", "Balance", "settled_micro")
            _wallet_tile("held", "Held for running", "held_micro")


def _wallet_tile(testid: str, label: str, field: str) -> None:
    tile(testid, label, "credits", Formula(plus=(field,), scale=_MICRO, source="wallet"))


def live_charts() -> None:
    """Draw the last minutes as charts."""
    with box("div", "rm-charts"):
        live_chart(
            "runs",
            "Runs",
            "second5",
            Series(name="Completed", formula=Formula(plus=("completed",)), color="chart-1", stack="runs"),
            Series(name="Failed", formula=Formula(plus=_FAILED), color="chart-4", stack="runs"),
            Series(name="Cancelled", formula=Formula(plus=("cancelled",)), color="chart-3", stack="runs"),
            Series(
                name="Running",
                formula=Formula(plus=("started",), minus=("runs",)),
                color="chart-5",
                stack="runs",
            ),
        )
        live_chart(
            "tokens",
            "Tokens",
            "second5",
            Series(name="Tokens in", formula=Formula(plus=("tokens_in",)), color="chart-2", stack="tokens"),
            Series(name="Tokens out", formula=Formula(plus=("tokens_out",)), color="chart-1", stack="tokens"),
        )
        live_chart(
            "credits",
            "Credits by minute",
            "minute",
            Series(
                name="Credits",
                formula=Formula(plus=("credits_micro",), scale=_MICRO),
                color="chart-1",
                kind="credits",
            ),
        )
        live_chart(
            "latency",
            "Latency and errors",
            "minute",
            Series(name="Failed runs", formula=Formula(plus=_FAILED), color="chart-4", axis=1),
            Series(
                name="Mean duration",
                formula=Formula(plus=("duration_ms",), per=("runs",)),
                color="chart-2",
                kind="duration",
                shape="line",
            ),
        )


def connect(context: InstanceContext) -> None:
    """Feed this tab of the browser for as long as it is open."""
    client = ui.context.client
    ui.add_head_html(
        "<script>window.runmeterQueue=[];"
        "window.runmeter=(message)=>window.runmeterQueue.push(message);</script>"
        f'<script type="module" src="{static_url()}/live.js"></script>'
    )

    def send(message: str) -> None:
        # Straight to the outbox: `run_javascript` would start a task per tab and message.
        if not client.is_deleted:
            client.outbox.enqueue_message("run_javascript", {"code": f"runmeter({message})"}, client.id)

    leave: list[Callable[[], None]] = []

    def join() -> None:
        if not leave:
            leave.append(context.services.feeds.join(context.visitor, context.instance_id, send))

    def part() -> None:
        if leave:
            leave.pop()()

    def pause() -> None:
        # The old socket of a tab that is back already may be missed only now.
        if not client.has_socket_connection:
            part()

    # A tab whose connection is lost gets nothing, so that nothing piles up for it; back again, it gets all.
    client.on_connect(join)
    client.on_disconnect(pause)
    client.on_delete(part)
