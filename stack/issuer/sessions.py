"""Codes and refresh tokens: what a sign-in gave to a client.

A code works once, for a minute. A refresh token works once and brings the next. Either used a second time
ends its session: one of the two who showed it has stolen it (RFC 6749 4.1.2, RFC 9700 4.14.2).
"""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from hashlib import sha256

from msgspec import Struct

from kit.clock import Clock
from stack.issuer.authorization import AuthorizationRequest
from stack.issuer.bounded import Bounded
from stack.issuer.errors import OAuthError

CODE_TTL_S = 60
SESSION_TTL_S = 12 * 3_600

_MAX_CODES = 1_000
_MAX_SESSIONS = 1_000
_MAX_CHARS = 256
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


class Session(Struct, kw_only=True):
    """A user's sign-in at a client. `refresh_digest`: of the refresh token that works now."""

    session_id: str
    client_id: str
    subject: str
    scope: str
    nonce: str
    signed_in_s: int
    refresh_digest: bytes = b""


class _Code(Struct, kw_only=True):
    asked: AuthorizationRequest
    session: Session
    used: bool = False


class Sessions:
    """All codes and sessions of this process."""

    def __init__(self, now_ms: Clock) -> None:
        self._now_ms = now_ms
        self._codes: Bounded[_Code] = Bounded(_MAX_CODES, CODE_TTL_S * 1_000, now_ms)
        self._sessions: Bounded[Session] = Bounded(_MAX_SESSIONS, SESSION_TTL_S * 1_000, now_ms)

    def new_code(self, asked: AuthorizationRequest, subject: str) -> str:
        """Return the code that a client gets for a sign-in."""
        code = secrets.token_urlsafe(32)
        session = Session(
            session_id=secrets.token_urlsafe(16),
            client_id=asked.client_id,
            subject=subject,
            scope=asked.scope,
            nonce=asked.nonce,
            signed_in_s=self._now_ms() // 1_000,
        )
        self._codes.put(_digest(code).hex(), _Code(asked=asked, session=session))
        return code

    def redeem(self, code: str, *, client_id: str, redirect_uri: str, verifier: str) -> Session:
        """Return the session that a code begins. The code is used up, even so. Raises `OAuthError`."""
        found = self._codes.get(_digest(code).hex())
        if found is None:
            raise _invalid_grant("This code is not known or has expired: sign in again.")
        if found.used:
            self.end(found.session.session_id)
            raise _invalid_grant("This code was used before, so its session has ended: sign in again.")
        found.used = True
        if (client_id, redirect_uri) != (found.asked.client_id, found.asked.redirect_uri):
            raise _invalid_grant("This code was given to another client or redirect_uri.")
        if not _VERIFIER.fullmatch(verifier) or not hmac.compare_digest(
            _challenge(verifier), found.asked.code_challenge
        ):
            raise _invalid_grant("The code_verifier does not match the code_challenge: sign in again.")
        self._sessions.put(found.session.session_id, found.session)
        return found.session

    def next_refresh_token(self, session: Session) -> str:
        """Return a refresh token; the one before it does not work any more."""
        secret = secrets.token_urlsafe(32)
        session.refresh_digest = _digest(secret)
        return f"{session.session_id}.{secret}"

    def of_refresh_token(self, token: str, client_id: str) -> Session:
        """Return the session of a refresh token. One that was used before ends it. Raises `OAuthError`."""
        session_id, _, secret = token[:_MAX_CHARS].partition(".")
        session = self._sessions.get(session_id)
        if session is None or session.client_id != client_id:
            raise _invalid_grant(
                "This refresh token is not the client's or its session ended: sign in again."
            )
        if not hmac.compare_digest(_digest(secret), session.refresh_digest):
            self.end(session_id)
            raise _invalid_grant(
                "This refresh token was used before, so its session has ended: sign in again."
            )
        return session

    def end(self, session_id: str) -> None:
        """End a session: its refresh token works no more."""
        self._sessions.drop(session_id)


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


def _challenge(verifier: str) -> str:
    return urlsafe_b64encode(_digest(verifier)).rstrip(b"=").decode()


def _invalid_grant(message: str) -> OAuthError:
    return OAuthError("invalid_grant", message)
