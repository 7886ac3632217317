"""A mail server that speaks real SMTP: it remembers what it took, and refuses what a test says."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session
from containers import free_ports

SENDER = "Runmeter <alerts@runmeter.example>"


@dataclass(frozen=True)
class Taken:
    """A mail as it arrived."""

    sender: str
    recipients: list[str]
    message: EmailMessage
    over_tls: bool

    def part(self, kind: str) -> str:
        """Return the text of its plain or HTML part."""
        body = self.message.get_body((kind,))
        assert body is not None
        return str(body.get_content())


@dataclass
class MailServer:
    """What a test sees of it. `answers`: what is said to a mail instead of taking it, one after another."""

    port: int
    taken: list[Taken] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    async def handle_RCPT(  # noqa: N802 - SMTP's own names
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.answers:
            return self.answers.pop(0)
        content = envelope.content
        assert isinstance(content, bytes)
        message = message_from_bytes(content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.taken.append(
            Taken(envelope.mail_from or "", list(envelope.rcpt_tos), message, session.ssl is not None)
        )
        return "250 Message accepted for delivery"


@contextmanager
def mail_server(
    *, context: ssl.SSLContext | None = None, login: tuple[str, str] | None = None
) -> Iterator[MailServer]:
    """Run a server until the block ends; with `context` it takes mail after STARTTLS only."""
    server = MailServer(free_ports("smtp")["smtp"])

    def authenticate(_: Any, __: Session, ___: Envelope, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        told = (data.login.decode(), data.password.decode())
        # Not handled: the server says the rest, 235 or 535.
        return AuthResult(success=told == login, handled=False)

    options: dict[str, Any] = {}
    if context is not None:
        options |= {"tls_context": context, "require_starttls": True}
    if login is not None:
        options |= {"authenticator": authenticate, "auth_required": True, "auth_require_tls": bool(context)}
    controller = Controller(server, hostname="127.0.0.1", port=server.port, **options)
    controller.start()
    try:
        yield server
    finally:
        controller.stop()
