"""`/end-session` (OpenID Connect RP-Initiated Logout 1.0): ends a client's session, and sends people back."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from stack.issuer import pages, parameters
from stack.issuer.authorization import answer_at
from stack.issuer.clients import Addresses
from stack.issuer.errors import OAuthError
from stack.issuer.sessions import Sessions
from stack.issuer.tokens import Tokens


class SignOut:
    """Only who has a session's ID token can end it; there is no other session to ask about."""

    def __init__(self, addresses: Addresses, sessions: Sessions, tokens: Tokens) -> None:
        self._addresses, self._sessions, self._tokens = addresses, sessions, tokens

    async def end_session(self, request: Request) -> Response:
        """End the session that `id_token_hint` is of."""
        given = await parameters.of(request)
        client_id, hint = given.get("client_id", ""), given.get("id_token_hint", "")
        if hint:
            client_id = self._end(hint, client_id)
        back = given.get("post_logout_redirect_uri", "")
        if not back:
            return pages.response(pages.signed_out())
        if back not in self._addresses.get(client_id, ()):
            raise OAuthError(
                "invalid_request",
                "This post_logout_redirect_uri is not the client's: it must equal one in "
                "RUNMETER_ISSUER_SIGN_OUT_URIS, and come with id_token_hint or client_id.",
            )
        return RedirectResponse(answer_at(back, state=given.get("state", "")), 303)

    def _end(self, hint: str, client_id: str) -> str:
        """End the session of an ID token; return whose it was."""
        try:
            token = self._tokens.hinted(hint)
        except ValueError:
            raise OAuthError("invalid_request", "id_token_hint is not an ID token of this issuer.") from None
        if client_id and client_id != token.aud:
            raise OAuthError("invalid_request", "id_token_hint is of another client.")
        self._sessions.end(token.sid)
        return token.aud
