"""Trying a channel: a message that says it is one, sent while whoever asked waits."""

from __future__ import annotations

from collections import OrderedDict

from console_api.alerts import channels, repository
from console_api.alerts.kinds import OWNERS
from console_api.alerts.models import ChannelTest
from console_api.alerts.targets import opened, target_of
from console_api.alerts.ways import Message, NotTaken, NoWay, Target, Ways
from console_api.alerts.wording import Said
from console_api.auth.models import Principal
from console_api.control import audit
from console_api.control.plane import ControlPlane, reading, writing
from console_api.database.tables import Org
from kit.clock import Clock, new_id
from kit.problems import NotFound, TooManyRequests

_MAX_SAID = 500
_MOST_REMEMBERED = 10_000
_SAID = Said(
    "This is a test",
    "Alerts of your organisation will arrive here. Nothing has happened; somebody pressed the test button.",
)


class Tries:
    """Keeps the tests of one process apart: each sends a message to somebody."""

    def __init__(self, every_s: int, clock: Clock) -> None:
        self._every_ms = every_s * 1_000
        self._clock = clock
        self._last: OrderedDict[tuple[str, str], int] = OrderedDict()

    def take(self, org_id: str, channel_id: str) -> None:
        """Count one test. Raises `TooManyRequests` when the last was just now."""
        now_ms, whose = self._clock(), (org_id, channel_id)
        since_ms = now_ms - self._last.get(whose, now_ms - self._every_ms)
        if since_ms < self._every_ms:
            wait_s = -(-(self._every_ms - since_ms) // 1_000)
            raise TooManyRequests(
                f"It was tried just now; try again in {wait_s} seconds.", headers={"Retry-After": str(wait_s)}
            )
        self._last[whose] = now_ms
        self._last.move_to_end(whose)
        while len(self._last) > _MOST_REMEMBERED:
            self._last.popitem(last=False)


async def test(
    control: ControlPlane, ways: Ways, tries: Tries, principal: Principal, channel_id: str
) -> ChannelTest:
    """Send a test message; no transaction is open meanwhile. Raises `Forbidden`, `NotFound`."""
    channels.may_change(principal)
    async with reading(control) as session:
        org = await repository.org(session, principal.tenant_id, principal.org_id)
        if org is None:
            raise NotFound("There is no such org.")
        version, target = 0, None
        try:
            if channel_id == OWNERS:
                target = await target_of(session, control.seal, org.org_id, OWNERS)
            else:
                row = await channels.own(session, principal, channel_id)
                version = row.version
                target = await opened(session, control.seal, row)
            why = ""
        except NotTaken as error:
            why = str(error)
    tries.take(org.org_id, channel_id)
    passed, said = (False, why) if target is None else await _send(ways, target, org, control.clock())
    view = ChannelTest(passed=passed, said=said[:_MAX_SAID], at_ms=control.clock())
    await _note(control, principal, channel_id, version, view)
    return view


async def _send(ways: Ways, target: Target, org: Org, now_ms: int) -> tuple[bool, str]:
    data = {"tenant_id": org.tenant_id, "org_id": org.org_id, "kind": "test", "occurred_at_ms": now_ms}
    message = Message(new_id("adl"), "alert.test", _SAID, org.name, now_ms, data)
    try:
        aside = await ways.send(target, message)
    except (NotTaken, NoWay) as error:
        return False, str(error)
    return True, f"A test message was taken. {aside}".strip()


async def _note(
    control: ControlPlane, principal: Principal, channel_id: str, version: int, view: ChannelTest
) -> None:
    async with writing(control) as session:
        row = await repository.channel(session, principal.org_id, channel_id, lock=True)
        if row is not None and row.version == version:
            row.tested_at_ms, row.test_passed, row.test_said = view.at_ms, view.passed, view.said
        audit.record(
            session,
            tenant_id=principal.tenant_id,
            org_id=principal.org_id,
            actor=principal.subject,
            action="alert_channel.test",
            target=("alert_channel", channel_id),
            at_ms=view.at_ms,
            passed=view.passed,
        )
