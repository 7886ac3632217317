"""The first steps with an instance. Each is done when the API says so, and by nothing else."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from msgspec import Struct

from console import session_keys
from console.api import ApiError, NotOffered
from console.calls import instances, keys, knowledge
from console.calls.keys import Key
from console.components.button import Button, link_button
from console.components.icon import icon
from console.components.loaded import Loaded
from console.components.text import Text, box
from console.pages.instance.context import InstanceContext

_EVERY_S = 10.0


class _State(Struct, frozen=True):
    """What is done; `None` where this server has no such thing."""

    branded: bool
    taught: bool | None
    keyed: bool
    embedded: bool
    tested: bool


def checklist(context: InstanceContext) -> None:
    """Draw the steps while one is open; say nothing once all are done."""

    async def load() -> _State:
        return await _state(context)

    def draw(state: _State) -> None:
        steps = _steps(state)
        if not all(step.done for step in steps):
            _draw(context, steps)

    Loaded(load, draw, "first steps", count=2, every_s=_EVERY_S)


async def _state(context: InstanceContext) -> _State:
    visitor, instance_id = context.visitor, context.instance_id
    (config, found, known) = await asyncio.gather(
        instances.configuration(visitor, instance_id),
        keys.keys(visitor, instance_id),
        knowledge.sources(visitor, instance_id),
        return_exceptions=True,
    )
    # Without a control plane there are no settings to make first; a failing part counts as not done.
    branding = None if isinstance(config, BaseException) else config[0].branding
    made: tuple[Key, ...] = () if isinstance(found, BaseException) else found
    own = [key for key in made if key.status == "active" and key.name not in session_keys.NAMES]
    if isinstance(config, NotOffered):
        raise config
    taught: bool | None = None
    if not isinstance(known, BaseException):
        taught = any(source.ready_at_ms for source in known.sources)
    elif not isinstance(known, ApiError):
        raise known
    return _State(
        branded=bool(branding and (branding.title or branding.colour or branding.logo_url)),
        taught=taught,
        keyed=any(key.kind in ("secret", "mcp") for key in own),
        embedded=any(key.kind == "widget" and key.last_used_at_ms for key in own),
        # Also when that session is over. Runs of other kinds do not count: to read a document is one.
        tested=any(key.name == session_keys.CHAT and key.last_used_at_ms for key in made),
    )


class _Step(NamedTuple):
    title: str
    hint: str
    done: bool
    action: str
    #: A tab of the instance; empty opens the chat.
    tab: str


def _steps(state: _State) -> list[_Step]:
    taught = _Step(
        "Add knowledge", "Files, pages or answers it may draw on.", bool(state.taught), "Add", "data"
    )
    return [
        _Step(
            "Name and branding", "Give it your name, colours and logo.", state.branded, "Set up", "branding"
        ),
        *([taught] if state.taught is not None else []),
        _Step("Create a key", "Your own code calls the instance with it.", state.keyed, "Create", "channels"),
        _Step(
            "Embed the widget",
            "Done when your page has opened it once.",
            state.embedded,
            "Get the snippet",
            "channels",
        ),
        _Step("Test the chat", "Ask it something your customers would.", state.tested, "Open chat", ""),
    ]


def _draw(context: InstanceContext, steps: list[_Step]) -> None:
    done = sum(step.done for step in steps)
    following = next(step for step in steps if not step.done)
    with box("section", "rm-card", testid="checklist").props('aria-labelledby="first-steps"'):
        with box("div", "rm-card__head"):
            Text("h2", "First steps").props('id="first-steps"')
            Text("span", f"{done} of {len(steps)} done", "rm-muted rm-small", testid="checklist-done")
        with box("div", "rm-meter"):
            box("span").style(f"width:{100 * done // len(steps)}%")
        with box("ol", "rm-steps"):
            for step in steps:
                with box("li", testid="step") as line:
                    line.props["data-state"] = "done" if step.done else "now" if step is following else "open"
                    _draw_step(context, step)


def _draw_step(context: InstanceContext, step: _Step) -> None:
    with box("span", "rm-steps__mark"):
        icon("check")
    with box("div"):
        Text("h3", step.title)
        Text("p", "Done" if step.done else step.hint, "rm-muted rm-small")
    if step.done:
        return
    if step.tab:
        link_button(step.action, context.path(step.tab), look="secondary", small=True)
    elif context.chat is not None:
        Button(step.action, context.chat.open, look="secondary", small=True)
