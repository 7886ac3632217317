"""The test chat beside every tab. It runs the instance for real: runs are metered and cost credits.

The gateway wants a key. One named "Test chat" is made for this session: it may only run, ends by itself after
a few hours, and is kept on the server.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from decimal import Decimal, InvalidOperation

from nicegui import ui

from console import gateway, session_keys
from console.api import ApiError, SignedOut
from console.components.button import Button
from console.components.text import Text, box
from console.gateway import Said
from console.pages.instance.context import InstanceContext

_KEPT_MESSAGES = 40
_MAX_SOURCES = 20


class ChatDrawer:
    """A button on every tab, and the drawer it opens."""

    def __init__(self, context: InstanceContext) -> None:
        self._context = context
        self._messages: list[Said] = []
        self._busy = False
        self._fab = Button("Test chat", self.open, symbol="chat", testid="open-chat")
        self._fab.classes("rm-chat-fab")
        self._drawer = box("aside", "rm-chat", testid="chat").props('hidden aria-label="Test chat" id=chat')
        self._drawer.on("keydown.escape", self.close, [])
        with self._drawer:
            self._draw()

    def open(self) -> None:
        self._drawer.props.pop("hidden", None)
        self._drawer.update()
        ui.run_javascript(
            "setTimeout(() => document.querySelector('[data-testid=chat-input] textarea,"
            "textarea[data-testid=chat-input]')?.focus(), 60)"
        )

    def close(self) -> None:
        self._drawer.props["hidden"] = True
        self._drawer.update()

    def _draw(self) -> None:
        with box("div", "rm-chat__head"):
            with box("div", "rm-grow"):
                Text("h2", "Test chat")
                Text("p", "Runs are real: they are metered and use credits.", "rm-muted rm-small")
            Button("", self._clear, look="ghost", symbol="restart_alt", label="New conversation")
            Button("", self.close, look="ghost", symbol="close", label="Close the test chat")
        self._log = box("div", "rm-chat__log", testid="chat-log").props(
            "role=log aria-live=polite tabindex=0"
        )
        self._greet()
        with box("div", "rm-chat__form"):
            self._field = ui.textarea(placeholder="Ask something").props(
                'outlined dense autogrow rows=1 maxlength=4000 aria-label="Message" data-testid=chat-input'
            )
            self._field.classes("rm-field").style("max-height:160px;overflow:auto")
            self._field.on("keydown.enter.exact.prevent", self._send, [])
            self._button = Button("", self._send, symbol="send", label="Send", testid="chat-send")

    def _greet(self) -> None:
        with self._log:
            Text("p", f"Say hello to {self._context.instance.name}.", "rm-muted rm-small")

    def _clear(self) -> None:
        # An answer that is still coming belongs to the conversation that it was asked in.
        self._messages = []
        self._busy = False
        self._log.clear()
        self._greet()

    async def _send(self) -> None:
        text = str(self._field.value or "").strip()
        if not text or self._busy:
            return
        self._busy = True
        self._field.value = ""
        talk = self._messages = [*self._messages, Said("user", text)][-_KEPT_MESSAGES:]
        with self._log:
            Text("div", text, "rm-bubble rm-bubble--mine", testid="chat-question")
            bubble = Text("div", "…", "rm-bubble", testid="chat-answer")
        self._to_end()
        try:
            await self._answer(talk, bubble)
        except ApiError as error:
            if talk is self._messages:
                bubble.text = error.detail
                bubble.classes("rm-bubble--bad")
                talk.pop()
        finally:
            if talk is self._messages:
                self._busy = False
                self._to_end()

    async def _answer(self, talk: list[Said], bubble: Text) -> None:
        """Ask; with a new key when there is none, or the one kept was revoked.

        A gateway that did not hear of a new key yet remembers so for a while: it is asked again with ever
        longer pauses.
        """
        key, is_new = await self._key(fresh=False)
        for pause_s in gateway.PAUSES_S:
            if talk is not self._messages:
                return
            if is_new:
                bubble.text = "Getting a key ready…" if pause_s else "…"
                await asyncio.sleep(pause_s)
            try:
                await self._stream(key, talk, bubble)
            except SignedOut:
                if pause_s == gateway.PAUSES_S[-1]:
                    raise
                if not is_new:
                    key, is_new = await self._key(fresh=True)
            else:
                return

    async def _stream(self, key: str, talk: list[Said], bubble: Text) -> None:
        said, closing = "", {}
        url = self._context.services.gateway_url
        async with aclosing(gateway.ask(url, key, talk, "console-test")) as events:
            async for name, data in events:
                if talk is not self._messages:
                    return  # nobody waits for it any more: the gateway cancels its run
                if name == "message.delta":
                    said += data.get("text", "")
                    bubble.text = said
                elif name == "tool_call" and data.get("status") == "started" and not said:
                    bubble.text = f"Using {data.get('tool', 'a tool')}…"
                elif name.startswith("run.") and name != "run.started":
                    closing = data
        if talk is self._messages:
            self._close(bubble, said or str(closing.get("output") or ""), closing)

    def _close(self, bubble: Text, said: str, closing: dict[str, object]) -> None:
        status = str(closing.get("status", "lost"))
        if said:
            bubble.text = said
            self._messages.append(Said("assistant", said))
        else:
            bubble.text = f"No answer: the run ended as {status.replace('_', ' ')}."
            bubble.classes("rm-bubble--bad")
            self._messages.pop()
        with self._log:
            _sources(closing.get("citations"))
        usage = closing.get("usage")
        with self._log, box("p", "rm-bubble__facts", testid="chat-facts"):
            if isinstance(usage, dict):
                shown = self._context.locale
                taken, given = _int(usage, "tokens_in"), _int(usage, "tokens_out")
                tokens = f"{shown.integer(taken)} tokens in, {shown.integer(given)} out"
                Text("span", f"{tokens} · {shown.credits(_micro(usage))} credits · ")
            if run_id := str(closing.get("run_id") or ""):
                where = box("a")
                where.props["href"] = f"/account/runs/{run_id}?instance={self._context.instance_id}"
                with where:
                    Text("span", "See the run")

    async def _key(self, *, fresh: bool) -> tuple[str, bool]:
        """Return this session's key for the instance, and whether it was made now: where none lasts."""
        visitor, instance_id = self._context.visitor, self._context.instance_id
        kept = session_keys.kept(visitor, instance_id, session_keys.CHAT)
        if kept and not fresh:
            return kept, False
        return await session_keys.chat_key(visitor, instance_id), True

    def _to_end(self) -> None:
        ui.run_javascript(
            "setTimeout(() => { const log = document.querySelector('.rm-chat__log');"
            " if (log) log.scrollTop = log.scrollHeight; }, 40)"
        )


def _sources(citations: object) -> None:
    """Name what an answer rests on, under the numbers by which its text refers to it."""
    if not isinstance(citations, list) or not citations:
        return
    with box("div", "rm-sources", testid="chat-sources"):
        Text("strong", "Sources")
        with box("ol"):
            for one in citations[:_MAX_SOURCES]:
                page = f"page {one['page']}" if one.get("page") else ""
                place = ", ".join(filter(None, (str(one.get("section", "")), page)))
                title = str(one.get("title") or one.get("url") or "Source")
                line = Text("li", f"{title}, {place}" if place else title)
                line.props["value"] = str(one["number"])


def _micro(usage: dict[str, object]) -> int:
    """Return a run's credits, which the gateway says as a decimal, in micro-credits."""
    try:
        return int(Decimal(str(usage.get("credits", "0"))) * 1_000_000)
    except InvalidOperation:
        return 0


def _int(values: dict[str, object], name: str) -> int:
    value = values.get(name, 0)
    return value if isinstance(value, int) else 0
