"""`/authorize` and `/login`: the page, and what comes of it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.clock import Clock
from stack.issuer import authorization, pages, parameters, password
from stack.issuer.authorization import AuthorizationRequest, answer_at
from stack.issuer.clients import Addresses, origin
from stack.issuer.errors import OAuthError
from stack.issuer.sessions import Sessions
from stack.issuer.throttle import Throttle
from stack.issuer.users import USERS


class SignIn:
    """Asks who it is, and sends them back with a code."""

    def __init__(
        self, issuer: str, clients: Addresses, secret: str, sessions: Sessions, now_ms: Clock
    ) -> None:
        self._issuer, self._clients, self._secret, self._sessions = issuer, clients, secret, sessions
        self._throttle = Throttle(now_ms)

    async def authorize(self, request: Request) -> Response:
        """Show the login page."""
        asked = authorization.checked(await parameters.of(request), self._clients)
        return self._page(asked, chosen=_hinted(asked.login_hint))

    async def login(self, request: Request) -> Response:
        """Take the page's form: back to the client with a code, or the page again with what was wrong."""
        _from_our_page(request, origin(self._issuer))
        given = await parameters.of_form(request)
        asked = authorization.checked(given, self._clients)
        subject = given.get("user", "")
        if wait_s := self._throttle.wait_s(subject):
            error = f"Too many wrong passwords. Try again in {wait_s} seconds."
            return self._page(asked, subject, error, 429, {"Retry-After": str(wait_s)})
        # Compared before the name is looked at, so that neither can be told from the time.
        right = password.is_right(given.get("password", "")[: password.MAX_CHARS + 1], self._secret)
        if not right or subject not in USERS:
            self._throttle.failed(subject if subject in USERS else "")
            return self._page(asked, subject, "That password is not right.", 403)
        self._throttle.succeeded(subject)
        code = self._sessions.new_code(asked, subject)
        return RedirectResponse(
            answer_at(asked.redirect_uri, code=code, state=asked.state, iss=self._issuer), 303
        )

    def _page(
        self,
        asked: AuthorizationRequest,
        chosen: str,
        error: str = "",
        status: int = 200,
        headers: dict[str, str] | None = None,
    ) -> Response:
        cancelled = answer_at(asked.redirect_uri, error="access_denied", state=asked.state, iss=self._issuer)
        page = pages.login(asked, chosen, cancelled, error)
        # Browsers hold redirects after a form to this policy too.
        answered_at = origin(asked.redirect_uri)
        return pages.response(page, status, headers, form_action=f"'self' {answered_at}")


def _hinted(login_hint: str) -> str:
    """Return whom to choose beforehand: by subject or address, else the first."""
    found = (user.subject for user in USERS.values() if login_hint in (user.subject, user.email))
    return next(found, next(iter(USERS)))


def _from_our_page(request: Request, ours: str) -> None:
    """Refuse forms of other sites: they would sign people in as somebody else. Raises `OAuthError`."""
    site, sender = request.headers.get("sec-fetch-site", ""), request.headers.get("origin", ours)
    if site not in ("", "same-origin", "none") or sender != ours:
        raise OAuthError(
            "invalid_request", f"Sign in on the page of {ours} itself: begin at the application.", status=403
        )
