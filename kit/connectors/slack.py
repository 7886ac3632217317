"""Slack: post to one channel, by the Web API's `chat.postMessage`.

<https://docs.slack.dev/reference/methods/chat.postMessage>: Slack answers 200 with `"ok": false` for what it
refuses, and 429 with `Retry-After` where it is too much.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from kit.connectors.outbound import CallFailed, Outbound
from kit.connectors.port import Action, ConnectorFailed, Kind, decoded, said, slug, text_of

#: Slack cuts longer texts off.
_MAX_TEXT = 40_000


class SlackSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where messages go."""

    channel: Annotated[
        str,
        Meta(
            pattern=r"^(?:[CGD][A-Z0-9]{6,20}|#[a-z0-9._-]{1,80})$",
            description="The channel's id, such as C0123456789, or its name with a #.",
        ),
    ]


class SlackCredentials(Struct, frozen=True, forbid_unknown_fields=True):
    """A bot's token with the scope `chat:write`."""

    bot_token: Annotated[str, Meta(pattern=r"^xox[bp]-[A-Za-z0-9-]{10,250}$")]


class Slack:
    """One channel of a workspace."""

    def __init__(
        self, name: str, settings: SlackSettings, credentials: SlackCredentials, outbound: Outbound
    ) -> None:
        self._name = name
        self._channel = settings.channel
        self._headers = {"Authorization": f"Bearer {credentials.bot_token}"}
        self._outbound = outbound

    def actions(self) -> list[Action]:
        return [
            Action(
                f"slack_post_{slug(self._name)}",
                f"Post a message to the Slack channel of {self._name}.",
                {
                    "type": "object",
                    "properties": {"text": {"type": "string", "description": "The message, plain text"}},
                    "required": ["text"],
                },
                self._post,
            )
        ]

    async def test(self) -> str:
        answer = await self._call("auth.test", {})
        return f"connected to {said(answer.get('team'), 80)} as {said(answer.get('user'), 80)}"

    async def post(self, text: str) -> None:
        """Post a text, in which nothing is a mention or a link. Raises `ConnectorFailed`."""
        await self._call("chat.postMessage", {"channel": self._channel, "text": escaped(text)[:_MAX_TEXT]})

    async def _post(self, arguments: Mapping[str, Any]) -> str:
        await self.post(text_of(arguments, "text", most=4_000))
        return "posted"

    async def _call(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        url = f"{self._outbound.settings.slack_base_url.rstrip('/')}/api/{method}"
        try:
            reply = await self._outbound.json("POST", url, self._headers, body)
        except CallFailed as error:
            raise ConnectorFailed(error.code, str(error)) from error
        answer = decoded(reply.body) if reply.status == 200 else None
        if not isinstance(answer, dict):
            raise ConnectorFailed("refused", f"Slack answered with status {reply.status}")
        if answer.get("ok") is not True:
            raise ConnectorFailed("refused", f"Slack refused: {said(answer.get('error'), 100)}")
        return answer


def escaped(text: str) -> str:
    """Return a text in which nothing is a mention or a link: what others wrote calls nobody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


KIND = Kind(
    "slack",
    "Slack",
    "Post messages to one channel of a workspace.",
    SlackSettings,
    SlackCredentials,
    Slack,
    for_visitors=True,
)
