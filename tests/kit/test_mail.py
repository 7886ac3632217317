"""Mail: what servers are told, what becomes of what they refuse, and that nothing goes out unprotected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from containers import free_ports
from mail_server import SENDER, MailServer, certificate, mail_server
from pydantic import SecretStr

from kit.mail import Mail, Mailer, MailFailed, mailer_of
from kit.settings import SmtpSettings

PASSWORD = "s3cret-of-the-mail-server"
MAIL = Mail(
    "adl_1",
    ("ada@example.com", "grace@example.com"),
    "80 % of your\r\nBcc: mallory@example.com",
    "In plain words.",
    "<p>In <b>HTML</b>.</p>",
    1_790_000_000_000,
)


def mailer(server: MailServer, **settings: Any) -> Mailer:
    made = mailer_of(
        SmtpSettings(
            **{"host": "127.0.0.1", "port": server.port, "tls": "none", "sender": SENDER, **settings}
        )
    )
    assert made is not None
    return made


async def test_a_mail_says_the_same_twice_and_is_named() -> None:
    with mail_server() as server:
        assert await mailer(server).send(MAIL) == {}

    [taken] = server.taken
    assert taken.sender == "alerts@runmeter.example"
    assert taken.recipients == ["ada@example.com", "grace@example.com"]
    assert taken.message["Message-ID"] == "<adl_1@runmeter.example>"
    assert taken.message["Auto-Submitted"] == "auto-generated"
    assert taken.message["Date"] == "Mon, 21 Sep 2026 14:13:20 +0000"
    assert (taken.part("plain").strip(), taken.part("html").strip()) == (MAIL.text, MAIL.html)


async def test_no_header_comes_in_through_the_subject() -> None:
    with mail_server() as server:
        await mailer(server).send(MAIL)

    assert server.taken[0].message["Subject"] == "80 % of your Bcc: mallory@example.com"
    assert server.taken[0].message["Bcc"] is None


async def test_whoever_is_refused_does_not_keep_the_others_from_it() -> None:
    with mail_server() as server:
        server.refused["grace@example.com"] = "550 5.1.1 no such mailbox"
        aside = await mailer(server).send(MAIL)

    assert aside == {"grace@example.com": "550 5.1.1 no such mailbox"}
    assert server.taken[0].recipients == ["ada@example.com"]


@pytest.mark.parametrize(
    ("answer", "final"),
    [("451 4.3.0 try again later", False), ("554 5.7.1 not from you", True), ("552 5.2.2 full", True)],
)
async def test_a_permanent_refusal_is_told_from_a_passing_one(answer: str, final: bool) -> None:
    with mail_server() as server:
        server.answers = [answer]
        with pytest.raises(MailFailed, match=answer[:3]) as failed:
            await mailer(server).send(MAIL)

    assert failed.value.final is final


async def test_nobody_left_is_a_failure() -> None:
    with mail_server() as server:
        server.refused = dict.fromkeys(MAIL.to, "550 5.1.1 no such mailbox")
        with pytest.raises(MailFailed, match="no such") as failed:
            await mailer(server).send(MAIL)

    assert failed.value.final


async def test_a_server_that_is_away_may_come_back() -> None:
    away = MailServer(free_ports("nobody")["nobody"])

    with pytest.raises(MailFailed, match="cannot be reached") as failed:
        await mailer(away, timeout_ms=2_000).send(MAIL)

    assert not failed.value.final


async def test_over_starttls_it_logs_in_and_checks_who_is_there(tmp_path: Path) -> None:
    context, ca_file = certificate(tmp_path)
    login = {"tls": "starttls", "user": "runmeter", "password": SecretStr(PASSWORD)}
    with mail_server(context=context, login=("runmeter", PASSWORD)) as server:
        await mailer(server, **login, ca_file=str(ca_file)).send(MAIL)
        assert server.taken[0].over_tls

        # By an authority that we do not know: nothing is sent.
        with pytest.raises(MailFailed, match="cannot be reached"):
            await mailer(server, **login).send(MAIL)
    assert len(server.taken) == 1


async def test_a_server_without_tls_gets_nothing() -> None:
    with mail_server() as server, pytest.raises(MailFailed):
        await mailer(server, tls="starttls").send(MAIL)

    assert server.taken == []


async def test_a_refused_login_says_so_without_the_password(tmp_path: Path) -> None:
    context, ca_file = certificate(tmp_path)
    with (
        mail_server(context=context, login=("runmeter", "another")) as server,
        pytest.raises(MailFailed, match=r"refuses our login \(535\)") as failed,
    ):
        await mailer(
            server, tls="starttls", user="runmeter", password=SecretStr(PASSWORD), ca_file=str(ca_file)
        ).send(MAIL)

    assert PASSWORD not in repr(failed.value)
    # Somebody may put it right.
    assert not failed.value.final


@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        ({"sender": ""}, "RUNMETER_SMTP_SENDER"),
        ({"sender": "nobody"}, "RUNMETER_SMTP_SENDER"),
        ({"host": "mail.example.com", "tls": "none", "password": SecretStr(PASSWORD)}, "RUNMETER_SMTP_TLS"),
        ({"ca_file": "none.pem"}, "RUNMETER_SMTP_CA_FILE"),
    ],
)
def test_settings_that_cannot_work_stop_the_start(settings: dict[str, Any], variable: str) -> None:
    given = {"host": "127.0.0.1", "sender": SENDER, **settings}

    with pytest.raises(SystemExit, match=variable) as stopped:
        mailer_of(SmtpSettings(**given))

    assert PASSWORD not in str(stopped.value)


def test_without_a_host_there_is_no_mail() -> None:
    assert mailer_of(SmtpSettings()) is None
