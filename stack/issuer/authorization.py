"""Authorization requests, checked (RFC 6749 4.1, RFC 7636, OpenID Connect Core 3.1.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from stack.issuer.clients import Addresses
from stack.issuer.errors import OAuthError, SentBack

SCOPES = ("openid", "profile", "email", "offline_access")

_MAX_CHARS = 1_024
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


class AuthorizationRequest(Struct, frozen=True, kw_only=True):
    """A request that may be granted. `scope`: the known ones of those asked for."""

    client_id: str
    redirect_uri: str
    scope: str
    code_challenge: str
    state: str = ""
    nonce: str = ""
    login_hint: str = ""

    def fields(self) -> dict[str, str]:
        """Return the parameters that make this request again."""
        fixed = {"response_type": "code", "code_challenge_method": "S256"}
        return fixed | {name: value for name, value in msgspec.to_builtins(self).items() if value}


def checked(given: Mapping[str, str], clients: Addresses) -> AuthorizationRequest:
    """Return the request. Raises `SentBack`, or `OAuthError` where nobody may be sent anywhere."""
    client_id, redirect_uri = given.get("client_id", ""), given.get("redirect_uri", "")
    if client_id not in clients:
        raise OAuthError(
            "invalid_client", "This client is not known here: name it in RUNMETER_ISSUER_CLIENTS."
        )
    if redirect_uri not in clients[client_id]:
        raise OAuthError(
            "invalid_request",
            "This redirect_uri is not the client's: it must equal one in RUNMETER_ISSUER_CLIENTS.",
        )
    state = given.get("state", "")
    if len(state) > _MAX_CHARS:
        raise SentBack("invalid_request", f"state has more than {_MAX_CHARS} characters", redirect_uri, "")
    if wrong := _wrong(given):
        raise SentBack(*wrong, redirect_uri, state)
    asked = set(given["scope"].split())
    return AuthorizationRequest(
        client_id=client_id,
        redirect_uri=redirect_uri,
        scope=" ".join(name for name in SCOPES if name in asked),
        code_challenge=given["code_challenge"],
        state=state,
        nonce=given.get("nonce", ""),
        login_hint=given.get("login_hint", "")[:_MAX_CHARS],
    )


def _wrong(given: Mapping[str, str]) -> tuple[str, str] | None:
    """Return what a client should hear: an error code and the remedy."""
    response_type, challenge = given.get("response_type", ""), given.get("code_challenge", "")
    hashed = given.get("code_challenge_method") == "S256" and _CHALLENGE.fullmatch(challenge)
    checks = (
        ("request" not in given, "request_not_supported", "send the parameters themselves"),
        ("request_uri" not in given, "request_uri_not_supported", "send the parameters themselves"),
        (response_type, "invalid_request", "send response_type=code"),
        (response_type == "code", "unsupported_response_type", "send response_type=code"),
        (given.get("response_mode", "query") == "query", "invalid_request", "send response_mode=query"),
        (hashed, "invalid_request", "send PKCE: code_challenge with code_challenge_method=S256"),
        ("openid" in given.get("scope", "").split(), "invalid_scope", "ask for the scope openid"),
        (len(given.get("nonce", "")) <= _MAX_CHARS, "invalid_request", "send a shorter nonce"),
        ("none" not in given.get("prompt", "").split(), "login_required", "this issuer asks every time"),
    )
    return next(((code, remedy) for right, code, remedy in checks if not right), None)


def answer_at(redirect_uri: str, **parameters: str) -> str:
    """Return a client's address with an answer in its query; empty parameters are left out."""
    query = urlencode({name: value for name, value in parameters.items() if value})
    if not query:
        return redirect_uri
    return f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{query}"
