"""One instance in *My Instances*: a link with its figures, updated in place."""

from __future__ import annotations

from urllib.parse import quote

from nicegui import ui

from console.calls.instances import Instance
from console.components import sparkline
from console.components.status import StatusBadge
from console.components.text import Text, box
from console.formats import Locale


class InstanceCard:
    """Draws an instance; `show` replaces its figures without touching focus or scroll."""

    def __init__(self, item: Instance, locale: Locale) -> None:
        self._locale = locale
        self._item: Instance | None = None
        path = f"/account/instances/{quote(item.instance_id, safe='')}"
        with box("a", "rm-card rm-card--link", testid="instance").props(f'href="{path}"'):
            with box("div", "rm-card__head"):
                self._name = Text("h2", classes="rm-card__title")
                self._status = StatusBadge(item.status)
            self._model = Text("p", classes="rm-muted rm-mono")
            self._spark = ui.html("", sanitize=False)
            self._caption = Text("p", classes="rm-muted rm-small")
            with box("dl", "rm-facts"):
                self._runs = _fact("Runs", "runs")
                self._tokens = _fact("Tokens", "tokens")
                self._used = _fact("Credits used", "credits-used")
                self._left = _fact("Credits left", "credits-left")
        self.show(item)

    def show(self, item: Instance) -> None:
        """Draw these figures; does nothing when none changed."""
        if item == self._item:
            return
        self._item = item
        locale, totals = self._locale, item.totals
        self._name.text = item.name
        self._status.show(item.status)
        self._model.text = item.default_model
        tokens = [point.tokens for point in item.last_hour]
        runs = sum(point.started for point in item.last_hour)
        said = f"{locale.integer(runs)} runs and {locale.integer(sum(tokens))} tokens in the last hour"
        self._spark.content = sparkline.svg(tokens, said)
        self._caption.text = said if runs else "No runs in the last hour"
        self._runs.text = locale.compact(totals.runs)
        self._tokens.text = locale.compact(totals.tokens_in + totals.tokens_out)
        self._used.text = locale.credits(totals.credits_micro)
        self._left.text = locale.credits(item.credits_left_micro)


def _fact(label: str, testid: str) -> Text:
    with box("div"):
        Text("dt", label)
        return Text("dd", testid=testid)
