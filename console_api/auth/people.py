"""From a verified token to a person: their user, made at the first sign-in, and the orgs they belong to."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.auth import repository
from console_api.auth.models import Belonging, Person
from console_api.auth.oidc import Claims, Verifier
from console_api.control import audit
from console_api.control.directory import repository as directory
from console_api.control.plane import ControlPlane, database_told
from kit.clock import new_id
from kit.problems import Forbidden
from schemas.directory import Role

#: For how long a person's orgs and roles are believed; a change in this process counts at once.
_BELIEVED_MS = 5_000
_MOST_KEPT = 10_000


class People:
    """The people of one process, as their issuer's tokens name them."""

    def __init__(self, verifier: Verifier, plane: ControlPlane) -> None:
        self._verifier = verifier
        self._plane = plane
        self._known: OrderedDict[bytes, tuple[int, Person]] = OrderedDict()

    async def of(self, token: str) -> Person:
        """Return whose token it is. Raises `Unauthorized`, `Forbidden`, `Unavailable`."""
        digest, now = sha256(token.encode()).digest(), self._plane.clock()
        until_ms, person = self._known.get(digest, (0, None))
        if person is not None and now < until_ms:
            return person
        claims = await self._verifier.verify(token)
        person = await self._load(claims)
        self._known[digest] = (min(now + _BELIEVED_MS, claims.expires_at_ms), person)
        self._known.move_to_end(digest)
        while len(self._known) > _MOST_KEPT:
            self._known.popitem(last=False)
        return person

    def forget(self) -> None:
        """Look everybody up again: somebody's place in an org changed."""
        self._known.clear()

    async def _load(self, claims: Claims) -> Person:
        database, now = self._plane.database, self._plane.clock()
        with database_told(self._plane):
            async with database.reading() as session:
                person = await _known(session, claims, now)
            if person is None:
                async with database.writing() as session:
                    await _welcome(session, claims, now)
                    person = await _known(session, claims, now)
        assert person is not None
        return person


async def _known(session: AsyncSession, claims: Claims, now_ms: int) -> Person | None:
    """Return the person as they are, `None` if something is to be written down first."""
    if not claims.tenant_id or not await repository.is_active_tenant(session, claims.tenant_id):
        raise Forbidden("Your account belongs to no marketplace here; ask whoever runs it.")
    user = await repository.user(session, claims.tenant_id, claims.issuer, claims.subject)
    if user is None or (user.email, user.name) != (claims.email or user.email, claims.name or user.name):
        return None
    if claims.email and await repository.invitations(session, claims.tenant_id, claims.email, now_ms):
        return None
    # First: without an org in the request the whole tenant is meant, as by an operator.
    everywhere = (Belonging("", "", "viewer"),) if claims.is_analyst else ()
    return Person(
        user_id=user.user_id,
        tenant_id=claims.tenant_id,
        subject=claims.email or claims.subject,
        email=claims.email,
        name=claims.name,
        is_operator=claims.is_operator,
        orgs=everywhere + await repository.belongings(session, user.user_id),
    )


async def _welcome(session: AsyncSession, claims: Claims, now_ms: int) -> None:
    """Write down who signed in, and let them take up the places that wait for their address."""
    await directory.add_user(
        session,
        user_id=new_id("user"),
        tenant_id=claims.tenant_id,
        issuer=claims.issuer,
        subject=claims.subject,
        email=claims.email,
        at_ms=now_ms,
    )
    user = await repository.user(session, claims.tenant_id, claims.issuer, claims.subject)
    assert user is not None
    await repository.describe(session, user.user_id, claims.email or user.email, claims.name or user.name)
    if not claims.email:
        return
    waiting = await repository.invitations(session, claims.tenant_id, claims.email, now_ms, lock=True)
    for invitation in waiting:
        role: Role = invitation.role  # type: ignore[assignment]
        await directory.add_membership(session, invitation.org_id, user.user_id, role, now_ms)
        await repository.forget_invitation(session, invitation.invitation_id)
        audit.record(
            session,
            tenant_id=claims.tenant_id,
            org_id=invitation.org_id,
            actor=claims.email,
            action="team.join",
            target=("user", user.user_id),
            at_ms=now_ms,
            role=role,
            invited_by=invitation.invited_by,
        )
