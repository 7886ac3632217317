"""`/token` and `/userinfo`."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from stack.issuer import parameters
from stack.issuer.clients import Addresses
from stack.issuer.errors import OAuthError
from stack.issuer.sessions import Session, Sessions
from stack.issuer.tokens import TTL_S, Tokens
from stack.issuer.users import USERS

GRANT_TYPES = ("authorization_code", "refresh_token")


class TokenEndpoints:
    """Gives tokens to clients, and what they stand for to those who have them."""

    def __init__(self, clients: Addresses, sessions: Sessions, tokens: Tokens) -> None:
        self._clients, self._sessions, self._tokens = clients, sessions, tokens

    async def token(self, request: Request) -> Response:
        """Answer a code or a refresh token with tokens (RFC 6749 4.1.3 and 6)."""
        if "authorization" in request.headers:
            raise OAuthError(
                "invalid_client",
                "Clients are public here: send client_id in the body and no Authorization header.",
                status=401,
                headers={"WWW-Authenticate": 'Basic realm="runmeter"'},
            )
        given = await parameters.of_form(request)
        client_id = _required(given, "client_id")
        if client_id not in self._clients:
            raise OAuthError(
                "invalid_client", "This client is not known here: name it in RUNMETER_ISSUER_CLIENTS."
            )
        match _required(given, "grant_type"):
            case "authorization_code":
                return self._of_code(given, client_id)
            case "refresh_token":
                return self._of_refresh_token(given, client_id)
        raise OAuthError("unsupported_grant_type", f"Send grant_type={' or '.join(GRANT_TYPES)}.")

    def _of_code(self, given: Mapping[str, str], client_id: str) -> Response:
        session = self._sessions.redeem(
            _required(given, "code"),
            client_id=client_id,
            redirect_uri=_required(given, "redirect_uri"),
            verifier=_required(given, "code_verifier"),
        )
        return self._answer(session, session.scope, session.nonce)

    def _of_refresh_token(self, given: Mapping[str, str], client_id: str) -> Response:
        session = self._sessions.of_refresh_token(_required(given, "refresh_token"), client_id)
        scope = given.get("scope", session.scope)
        if not set(scope.split()) <= set(session.scope.split()):
            raise OAuthError("invalid_scope", f"The sign-in was for {session.scope!r}: ask for no more.")
        # The nonce is of the sign-in, which this is not (OpenID Connect Core 12.2).
        return self._answer(session, " ".join(scope.split()), "")

    def _answer(self, session: Session, scope: str, nonce: str) -> Response:
        access_token = self._tokens.access_token(session, scope)
        return JSONResponse(
            {
                "access_token": access_token,
                "token_type": "Bearer",
                "expires_in": TTL_S,
                "scope": scope,
                "id_token": self._tokens.id_token(session, access_token, nonce),
                "refresh_token": self._sessions.next_refresh_token(session),
            }
        )

    async def userinfo(self, request: Request) -> Response:
        """Return the claims of an access token's user that its scope names."""
        kind, _, text = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not text:
            raise _unauthorized("Bearer")
        try:
            token = self._tokens.opened(text.strip())
            user = USERS[token.sub]
        except (ValueError, KeyError):
            raise _unauthorized('Bearer error="invalid_token"') from None
        scope = token.scope.split()
        claims: dict[str, object] = {"sub": user.subject}
        if "email" in scope:
            claims |= {"email": user.email, "email_verified": True}
        if "profile" in scope:
            claims |= {"name": user.name}
        return JSONResponse(claims)


def _required(given: Mapping[str, str], name: str) -> str:
    if name not in given:
        raise OAuthError("invalid_request", f"Send {name}.")
    return given[name]


def _unauthorized(challenge: str) -> OAuthError:
    return OAuthError(
        "invalid_token",
        "Send a valid access token as `Authorization: Bearer …`.",
        status=401,
        headers={"WWW-Authenticate": challenge},
    )
