"""What people see: plain HTML without scripts."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path

from starlette.responses import HTMLResponse, Response

from stack.issuer.authorization import AuthorizationRequest
from stack.issuer.password import MAX_CHARS
from stack.issuer.users import USERS, DevUser

STYLE = (Path(__file__).parent / "style.css").read_bytes()

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>{title} · Runmeter</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="style.css">
</head>
<body>
<main class="card">
<p class="brand"><span class="mark" aria-hidden="true"></span>Runmeter
<span class="badge">Development</span></p>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""

_LOGIN = """<p class="muted">to continue to <strong>{client}</strong></p>
{error}<form method="post" action="login">
{hidden}
<fieldset>
<legend>Choose a development user</legend>
{users}
</fieldset>
<label class="label" for="password">Password</label>
<input class="field" id="password" name="password" type="password" required maxlength="{max_chars}"
 autocomplete="current-password" autofocus aria-describedby="{described}"{invalid}>
<p class="hint" id="hint">One for all of them. <code>runmeter status</code> says where it is.</p>
<button class="button" type="submit">Sign in</button>
<a class="cancel" href="{cancelled}">Cancel</a>
</form>"""

_USER = """<label class="user" for="{subject}">
<input type="radio" id="{subject}" name="user" value="{subject}" required{checked}>
<span class="avatar" aria-hidden="true">{initial}</span>
<span class="who"><span class="name">{name}</span> <span class="muted">{email}</span></span>
<span class="about">{about}</span>
</label>"""


def login(asked: AuthorizationRequest, chosen: str, cancelled: str, error: str) -> str:
    """Return the login page. `cancelled`: the address that giving up leads to; `error`: what went wrong."""
    hidden = (
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in asked.fields().items()
    )
    return _PAGE.format(
        title="Sign in",
        body=_LOGIN.format(
            client=escape(asked.client_id),
            error=f'<p class="error" id="error" role="alert">{escape(error)}</p>\n' if error else "",
            hidden="\n".join(hidden),
            users="\n".join(_user(user, chosen) for user in USERS.values()),
            max_chars=MAX_CHARS,
            described="error hint" if error else "hint",
            invalid=' aria-invalid="true"' if error else "",
            cancelled=escape(cancelled),
        ),
    )


def _user(user: DevUser, chosen: str) -> str:
    return _USER.format(
        subject=escape(user.subject),
        checked=" checked" if user.subject == chosen else "",
        initial=escape(user.name[0]),
        name=escape(user.name),
        email=escape(user.email),
        about=escape(user.about),
    )


def signed_out() -> str:
    """Return the page after a sign-out that leads nowhere else."""
    return _PAGE.format(title="You are signed out", body='<p class="muted">You can close this page.</p>')


def refused(message: str) -> str:
    """Return the page for a request that cannot go on."""
    body = f'<p class="error" role="alert">{escape(message)}</p>'
    return _PAGE.format(title="This sign-in cannot go on", body=body)


def response(
    page: str, status: int = 200, headers: Mapping[str, str] | None = None, form_action: str = "'none'"
) -> Response:
    """Return a page with the policy that it needs."""
    policy = (
        "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; "
        f"frame-ancestors 'none'; form-action {form_action}"
    )
    return HTMLResponse(page, status, {**(headers or {}), "Content-Security-Policy": policy})
