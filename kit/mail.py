"""Mail by SMTP: plain text and an HTML that says the same, to a few addresses, over a checked connection."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr

import aiosmtplib
from aiosmtplib.errors import (
    SMTPAuthenticationError,
    SMTPException,
    SMTPRecipientsRefused,
    SMTPResponseException,
)

from kit.settings import SmtpSettings

_MAX_SUBJECT = 200
_MAX_SAID = 200


class MailFailed(Exception):
    """A mail was not taken. `final`: the server will not take it later either."""

    def __init__(self, text: str, *, final: bool = False) -> None:
        super().__init__(text)
        self.final = final


@dataclass(frozen=True)
class Mail:
    """One mail. Whoever sends it again keeps `message_id`, by which mail servers may know it."""

    message_id: str
    to: Sequence[str]
    subject: str
    text: str
    html: str
    at_ms: int


class Mailer:
    """Hands mail to one server. Its password is in no error."""

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._sender = _sender(settings.sender)
        _check(settings)

    async def send(self, mail: Mail) -> dict[str, str]:
        """Send a mail; return the addresses that were refused, and why, if others were taken.

        Raises `MailFailed`.
        """
        settings, password = self._settings, self._settings.password.get_secret_value()
        try:
            refused, _ = await aiosmtplib.send(
                self._written(mail),
                recipients=list(mail.to),
                hostname=settings.host,
                port=settings.port,
                username=settings.user or None,
                password=password or None,
                use_tls=settings.tls == "tls",
                start_tls=settings.tls == "starttls",
                tls_context=self._context(),
                timeout=settings.timeout_ms / 1000,
            )
        except SMTPRecipientsRefused as error:
            first = error.recipients[0]
            raise MailFailed(f"refused: {_said(first)}", final=_is_final(first.code)) from None
        except SMTPAuthenticationError as error:
            raise MailFailed(f"the mail server refuses our login ({error.code})") from None
        except SMTPResponseException as error:
            raise MailFailed(f"the mail server said {_said(error)}", final=_is_final(error.code)) from None
        except (SMTPException, OSError, TimeoutError, ValueError) as error:
            # Without what it was told: a dialogue may hold the password.
            raise MailFailed(f"the mail server cannot be reached ({type(error).__name__})") from None
        return {address: f"{answer.code} {answer.message}"[:_MAX_SAID] for address, answer in refused.items()}

    def _context(self) -> ssl.SSLContext | None:
        if self._settings.tls == "none":
            return None
        return ssl.create_default_context(cafile=self._settings.ca_file or None)

    def _written(self, mail: Mail) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = ", ".join(mail.to)
        message["Subject"] = " ".join(mail.subject.split())[:_MAX_SUBJECT]
        message["Date"] = format_datetime(datetime.fromtimestamp(mail.at_ms / 1000, UTC))
        message["Message-ID"] = f"<{mail.message_id}@{self._sender.domain}>"
        # RFC 3834: nobody's out-of-office answers it.
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(mail.text)
        message.add_alternative(mail.html, subtype="html")
        return message


def mailer_of(settings: SmtpSettings) -> Mailer | None:
    """Return the mailer of the settings, `None` without a host. Raises `SystemExit` with the remedy."""
    return Mailer(settings) if settings.host else None


def _sender(text: str) -> Address:
    name, address = parseaddr(text)
    try:
        found = Address(name, addr_spec=address)
    except (ValueError, IndexError):
        found = Address()
    if not found.username or not found.domain:
        raise SystemExit(
            "invalid settings: RUNMETER_SMTP_SENDER: say who mail is from, as in "
            "'Runmeter <alerts@example.com>'"
        )
    return found


def _check(settings: SmtpSettings) -> None:
    if settings.tls == "none" and settings.password.get_secret_value() and not _is_here(settings.host):
        raise SystemExit("invalid settings: RUNMETER_SMTP_TLS: a password is sent over starttls or tls only")
    if settings.ca_file:
        try:
            ssl.create_default_context(cafile=settings.ca_file)
        except OSError as error:
            raise SystemExit(f"invalid settings: RUNMETER_SMTP_CA_FILE: {error}") from None


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_final(code: int) -> bool:
    """Return whether a reply is a permanent one (RFC 5321, 4.2.1); a refused login may be put right."""
    return 550 <= code <= 559


def _said(error: SMTPResponseException) -> str:
    return " ".join(f"{error.code} {error.message}".split())[:_MAX_SAID]
