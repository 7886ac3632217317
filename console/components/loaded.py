"""A part of a page that comes from the API: a skeleton, then the content, or why there is none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from nicegui import ui

from console.api import ApiError, NotOffered, Refused, SignedOut
from console.components import states
from console.components.states import Shape
from console.components.text import box
from console.session import SIGN_IN_PATH

Value = TypeVar("Value")


class Loaded(Generic[Value]):
    """Reads with `load` and draws with `draw`, now and at each `refresh`.

    `what` names the thing in the plural ("orders") as its states say it.
    """

    def __init__(
        self,
        load: Callable[[], Awaitable[Value]],
        draw: Callable[[Value], None],
        what: str,
        *,
        shape: Shape = "lines",
        count: int = 4,
        every_s: float = 0,
    ) -> None:
        self._load = load
        self._draw = draw
        self._what = what
        self._shown: Value | None = None
        self._asked = 0
        self.body = box("div")
        with self.body:
            states.loading(what, count, shape)
        ui.timer(0, self.refresh, once=True)
        if every_s:
            ui.timer(every_s, self.refresh)

    async def refresh(self) -> None:
        """Read again and draw, unless nothing changed."""
        self._asked += 1
        asked = self._asked
        try:
            value = await self._load()
        except SignedOut:
            ui.navigate.to(SIGN_IN_PATH)
        except ApiError as error:
            if asked == self._asked:
                self._fail(error)
        else:
            # An answer to an earlier question must not replace that to a later one.
            current = asked == self._asked and not self.body.is_deleted
            if current and (self._shown is None or value != self._shown):
                self._shown = value
                self.show(value)

    def show(self, value: Value) -> None:
        """Draw a value that is known already."""
        self.body.clear()
        with self.body:
            self._draw(value)

    def _fail(self, error: ApiError) -> None:
        if self.body.is_deleted:
            return
        self._shown = None
        self.body.clear()
        named = self._what[0].upper() + self._what[1:]
        with self.body:
            if isinstance(error, NotOffered):
                states.not_offered(self._what)
            elif isinstance(error, Refused):
                states.refused(error.detail)
            else:
                states.failed(f"{named} cannot be shown", error.detail, self.refresh)


def toast(text: str, *, bad: bool = False) -> None:
    """Say how something went, at the edge of the page."""
    ui.notify(
        text,
        position="bottom",
        type="negative" if bad else "positive",
        timeout=9000 if bad else 3500,
        close_button="Dismiss" if bad else False,
        multi_line=len(text) > 80,
    )


async def attempt(work: Awaitable[object], done: str = "") -> bool:
    """Await a change; say how it went; return whether it went well."""
    try:
        await work
    except SignedOut:
        ui.navigate.to(SIGN_IN_PATH)
        return False
    except ApiError as error:
        toast(error.detail, bad=True)
        return False
    if done:
        toast(done)
    return True
