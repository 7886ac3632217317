"""Sessions of widget visitors: begun, refreshed, opened. A session holds only as long as its key does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from gateway.errors import InvalidSession, SessionExpired
from gateway.keys import Caller, KeyDirectory
from gateway.widget import tokens
from gateway.widget.blocked import OriginGuard
from gateway.widget.limits import Kind, WidgetLimits
from gateway.widget.models import Session, SessionLimits
from gateway.widget.secrets import SessionSecrets
from gateway.widget.tokens import SessionToken, VisitorToken
from kit import api_keys
from kit.clock import Clock, new_id
from kit.settings import WidgetSettings

_VISITOR_TTL_S = 180 * 86_400


class WidgetSessions:
    """Signs and opens session tokens. Raises the gateway's errors."""

    def __init__(
        self,
        directory: KeyDirectory,
        guard: OriginGuard,
        secrets: SessionSecrets,
        limits: WidgetLimits,
        *,
        settings: WidgetSettings,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._guard = guard
        self._secrets = secrets
        self._limits = limits
        self._settings = settings
        self._clock = clock

    async def begin(self, caller: Caller, key: str, origin: str, address: str, visitor_token: str) -> Session:
        """Begin a session of an allowed page. Raises `WidgetRateLimited`, `LimitsUnavailable`."""
        secret = await self._secrets.signing()
        visitor = await self._known_visitor(caller, visitor_token)
        await self._limits.take("sessions", replace(caller, visitor=visitor), address, secret.bytes)
        now = self._now_s()
        token = SessionToken(
            sub=visitor or new_id("vis"),
            sid=new_id("ses"),
            key=api_keys.digest(key),
            instance_id=caller.instance.instance_id,
            origin=origin,
            began=now,
            iat=now,
            exp=now + min(self._settings.session_ttl_s, self._settings.session_max_s),
        )
        return await self._shown(token, caller)

    async def refresh(self, token: SessionToken, caller: Caller, address: str) -> Session:
        """Prolong a session, up to its longest. Raises `WidgetRateLimited`, `LimitsUnavailable`."""
        secret = await self._secrets.signing()
        await self._limits.take("sessions", caller, address, secret.bytes)
        now, last = self._now_s(), token.began + self._settings.session_max_s
        if now >= last:
            raise SessionExpired("the session has lasted as long as it may; begin a new one")
        return await self._shown(
            SessionToken(
                sub=token.sub,
                sid=token.sid,
                key=token.key,
                instance_id=token.instance_id,
                origin=token.origin,
                began=token.began,
                iat=now,
                exp=min(now + self._settings.session_ttl_s, last),
            ),
            caller,
        )

    async def open(self, text: str) -> SessionToken:
        """Return a session's token, which may have expired. Raises `InvalidSession`, `LimitsUnavailable`."""
        return await tokens.opened(text, SessionToken, self._secrets)

    async def caller(self, token: SessionToken, origin: str) -> Caller:
        """Return whose session it is, used from a page of `origin`, as its key and instance are now."""
        caller = await self._directory.resolve_digest(token.key)
        if origin != token.origin:
            raise await self._guard.blocked(caller, origin)
        await self._guard.check(caller, origin)
        if self._now_s() >= token.exp:
            raise SessionExpired("begin a new session with POST /v1/widget/session:init")
        if caller.instance.instance_id != token.instance_id:
            raise InvalidSession("begin a session with POST /v1/widget/session:init")
        return replace(caller, visitor=token.sub)

    async def take(self, kind: Kind, caller: Caller, address: str) -> None:
        """Let a widget's run begin, or its feedback in. Raises `WidgetRateLimited`, `LimitsUnavailable`."""
        secret = await self._secrets.signing()
        await self._limits.take(kind, caller, address, secret.bytes)

    async def _known_visitor(self, caller: Caller, text: str) -> str:
        """Return the visitor whom a token of this instance names; empty if it is none: a new one comes."""
        if not text:
            return ""
        try:
            token = await tokens.opened(text, VisitorToken, self._secrets)
        except InvalidSession:
            return ""
        known = token.instance_id == caller.instance.instance_id and self._now_s() < token.exp
        return token.sub if known else ""

    async def _shown(self, token: SessionToken, caller: Caller) -> Session:
        secret, instance = await self._secrets.signing(), caller.instance
        visitor = VisitorToken(
            sub=token.sub, instance_id=token.instance_id, iat=token.iat, exp=token.iat + _VISITOR_TTL_S
        )
        refresh_in_s = (token.exp - token.iat) * 2 // 3
        return Session(
            session_token=tokens.signed(token, secret),
            expires_at=_iso(token.exp),
            refresh_after=_iso(token.iat + refresh_in_s),
            refresh_in_s=refresh_in_s,
            visitor_id=token.sub,
            visitor_token=tokens.signed(visitor, secret),
            name=instance.name,
            greeting=instance.greeting,
            branding=instance.branding,
            limits=SessionLimits(
                runs_per_minute=self._settings.runs_per_visitor_per_minute,
                session_ends_at=_iso(token.began + self._settings.session_max_s),
            ),
        )

    def _now_s(self) -> int:
        return self._clock() // 1000


def _iso(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat().replace("+00:00", "Z")
