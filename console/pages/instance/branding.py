"""Branding and behaviour: what the instance is called, how it looks and greets, and what it is told."""

from __future__ import annotations

from urllib.parse import urlsplit

from console.api import Stale
from console.calls import account as accounts
from console.calls import instances as calls
from console.calls.instances import Configuration
from console.components.button import Button
from console.components.fields import choice, labelled, text_field
from console.components.icon import icon
from console.components.loaded import Loaded, attempt, toast
from console.components.text import Text, box
from console.pages.instance import danger
from console.pages.instance.context import InstanceContext
from console.pages.signed_in import card_head

_COLOUR = "#4f46e5"


def draw(context: InstanceContext) -> None:
    _Branding(context)


class _Branding:
    """A form over one version of the configuration, and a picture of what it says."""

    def __init__(self, context: InstanceContext) -> None:
        self._context = context
        self._etag = ""
        self._loaded = Loaded(self._load, self._draw, "settings", count=6)

    async def _load(self) -> Configuration:
        self._manages = (await accounts.account(self._context.visitor)).manages
        found, self._etag = await calls.configuration(self._context.visitor, self._context.instance_id)
        return found

    def _draw(self, config: Configuration) -> None:
        self._config = config
        with box("div", "rm-columns rm-columns--wide"):
            with box("form", "rm-stack") as form:
                form.on("submit.prevent", self._save, [])
                self._draw_look(config)
                self._draw_behaviour(config)
            with box("section", "rm-card").style("position:sticky;top:24px"):
                with card_head("Preview", "As visitors of your pages see it."):
                    pass
                self._preview = box("div", testid="branding-preview")
        if self._manages and self._context.instance.status != "ended":
            danger.draw(self._context)
        self._show()

    def _draw_look(self, config: Configuration) -> None:
        look = config.branding
        with box("section", "rm-card"):
            with card_head("Name and look"):
                pass
            with box("div", "rm-form"):
                self._name = text_field(
                    "Instance name",
                    config.name,
                    hint="Your team sees it in this console.",
                    longest=256,
                    check={"Give it a name": lambda value: bool(str(value or "").strip())},
                    on_change=self._show,
                    testid="config-name",
                )
                self._title = text_field(
                    "Title",
                    look.title,
                    hint="Visitors see it above the chat.",
                    longest=100,
                    on_change=self._show,
                    testid="config-title",
                )
                with box("div", "rm-form rm-form--two"):
                    self._draw_colour(look.colour or _COLOUR)
                    self._position = choice(
                        "Corner of the page",
                        {"right": "Bottom right", "left": "Bottom left"},
                        look.position,
                        on_change=self._show,
                    )
                self._logo = text_field(
                    "Logo address",
                    look.logo_url,
                    hint="An https:// address of a square picture.",
                    placeholder="https://cdn.example.com/logo.png",
                    longest=2048,
                    check={"Begin with https://": lambda value: not value or _is_https(str(value))},
                    on_change=self._show,
                )

    def _draw_colour(self, colour: str) -> None:
        with labelled("Colour", target="brand-colour"), box("div", "rm-swatch"):
            self._swatch = box("input").props("type=color id=brand-colour")
            self._swatch.props["value"] = colour
            self._colour = colour
            self._code = Text("code", colour, "rm-mono")

            def changed(event: object) -> None:
                self._colour = str(getattr(event, "args", "") or colour)
                self._code.text = self._colour
                self._show()

            self._swatch.on("input", changed, js_handler="(event) => emit(event.target.value)")

    def _draw_behaviour(self, config: Configuration) -> None:
        plan = config.plan
        with box("section", "rm-card"):
            with card_head("Behaviour", f"Within your plan, {config.plan_code}."):
                pass
            with box("div", "rm-form"):
                self._greeting = text_field(
                    "Greeting",
                    config.greeting,
                    hint="The first message a visitor sees.",
                    lines=2,
                    longest=4096,
                    on_change=self._show,
                    testid="config-greeting",
                )
                self._model = choice(
                    "Model",
                    {"": f"The plan's first ({plan.models[0]})", **{name: name for name in plan.models}},
                    config.model if config.model in plan.models else "",
                )
                if plan.tools:
                    self._tools = choice(
                        "Tools",
                        list(plan.tools),
                        list(plan.tools)
                        if config.tools is None
                        else [t for t in config.tools if t in plan.tools],
                        several=True,
                        hint="What it may use while it answers.",
                    )
                self._prompt = text_field(
                    "Instructions",
                    config.system_prompt,
                    hint="What it is to do, and how. Visitors do not see this.",
                    lines=6,
                    longest=32768,
                    testid="config-prompt",
                )
            with box("div", "rm-card__foot"):
                Button("Discard changes", self._discard, look="ghost")
                Button("Save", self._save, testid="save-config")

    def _changed(self) -> Configuration:
        made = calls.copy(self._config)
        made.name = str(self._name.value or "").strip()
        made.greeting = str(self._greeting.value or "")
        made.system_prompt = str(self._prompt.value or "")
        made.model = str(self._model.value or "")
        if made.plan.tools:
            chosen = list(self._tools.value or [])
            made.tools = None if set(chosen) == set(made.plan.tools) else chosen
        made.branding.title = str(self._title.value or "").strip()
        made.branding.colour = self._colour
        made.branding.logo_url = str(self._logo.value or "").strip()
        made.branding.position = "left" if self._position.value == "left" else "right"
        return made

    async def _save(self) -> None:
        if not (self._name.validate() and self._logo.validate()):
            toast("Correct the fields that are marked.", bad=True)
            return
        if await attempt(self._write(), "Saved. Your widget and gateways follow at once."):
            await self._loaded.refresh()

    async def _write(self) -> None:
        context = self._context
        try:
            await calls.configure(context.visitor, context.instance_id, self._changed(), self._etag)
        except Stale as error:
            raise Stale(
                error.status,
                error.code,
                "Somebody else saved in the meantime. Copy what you want to keep, then reload the page.",
            ) from error

    def _discard(self) -> None:
        self._loaded.show(self._config)

    def _show(self, _: object = None) -> None:
        if not hasattr(self, "_preview") or not hasattr(self, "_greeting"):
            return
        title = str(self._title.value or self._name.value or "")
        ink = ink_on(self._colour)
        self._preview.clear()
        side = " rm-preview--left" if self._position.value == "left" else ""
        with self._preview, box("div", f"rm-preview{side}"):
            with box("div", "rm-preview__box"):
                with box("div", "rm-preview__head").style(f"background:{self._colour};color:{ink}"):
                    if _is_https(str(self._logo.value or "")):
                        box("img").props["src"] = str(self._logo.value)
                    Text("span", title)
                with box("div", "rm-preview__body"):
                    Text("p", str(self._greeting.value or "Hello! How can I help?"))
                Text("div", "Write a message…", "rm-preview__field")
            with box("div", "rm-preview__launch").style(f"background:{self._colour};color:{ink}"):
                icon("chat")


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname) and not parts.username


def ink_on(colour: str) -> str:
    """Return the text colour, light or dark, that can be read on a colour (WCAG luminance)."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#ffffff" if 1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.05 else "#161b26"
