"""Messages until they are taken: in the receivers' own shapes, again when they fail, in the end given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from alerts_rig import Alerted, alerted, cap_event, like_slack, verified, wallet_event
from control_places import Place
from control_world import World
from mail_server import mail_server

from console_api.alerts import channels, repository, rules, service
from console_api.alerts.models import ChannelChange, NewEmail, NewSlack, RuleChange
from console_api.database.tables import AlertDelivery


@pytest_asyncio.fixture
async def told(place: Place, world: World) -> AsyncIterator[Alerted]:
    async with alerted(place, world) as made:
        yield made


async def route(told: Alerted, *channel_ids: str) -> None:
    """Send what is told of credits and caps to these channels."""
    async with told.world.database.writing() as session:
        for kind in ("credits", "cap"):
            wanted = RuleChange(enabled=True, channels=list(channel_ids))
            await rules.change(session, told.principal(), kind, wanted, told.world.clock())  # type: ignore[arg-type]


async def only(told: Alerted) -> AlertDelivery:
    [message] = await told.deliveries()
    return message


async def test_owners_are_written_to_without_anybody_setting_it_up(told: Alerted) -> None:
    await told.owner("ada@example.com")
    await told.owner("grace@example.com")
    told.settings = told.settings.model_copy(update={"console_url": "https://console.example.com/"})
    with mail_server() as server:
        told.mails_to(server)
        await told.take(wallet_event(told.world, used_micro=8_000_000))
        assert await told.deliverer().turn() == 1
        assert await told.deliverer().turn() == 0

    [mail] = server.taken
    message = await only(told)
    assert mail.recipients == ["ada@example.com", "grace@example.com"]
    assert mail.message["Subject"] == "80 % of your credits are used"
    assert mail.message["Message-ID"] == f"<{message.delivery_id}@runmeter.example>"
    assert "8 of 10 credits are used" in mail.part("plain").replace("\n", " ")
    assert "https://console.example.com/account/wallet" in mail.part("html")
    assert (message.status, message.error) == ("sent", "")


async def test_what_people_named_is_text_in_a_mail(told: Alerted) -> None:
    await told.owner("ada@example.com")
    told.world.instance_id = await told.world.add_instance('<img src=x onerror="1">')
    with mail_server() as server:
        told.mails_to(server)
        await told.take(cap_event(told.world))
        await told.deliverer().turn()

    assert "<img" not in server.taken[0].part("html")
    assert "&lt;img src=x" in server.taken[0].part("html")


async def test_without_a_mail_server_owners_are_passed_over(told: Alerted) -> None:
    await told.owner("ada@example.com")
    await told.take(wallet_event(told.world))
    await told.deliverer().turn()

    message = await only(told)
    assert (message.status, message.error) == ("skipped", "No mail server is set up here.")


async def test_a_webhook_is_signed_and_says_what_happened(told: Alerted) -> None:
    await route(told, await told.channel())
    await told.take(wallet_event(told.world))
    await told.deliverer().turn()

    [asked] = told.party.asked
    event, message = verified(asked), await only(told)
    assert asked.headers["webhook-id"] == message.delivery_id
    assert (event["type"], asked.headers["Content-Type"]) == ("alert.credits", "application/json")
    data = event["data"]
    assert (data["org_id"], data["subject"]) == (told.world.org_id, "wallet")
    assert data["details"]["used_permille"] == 800
    assert data["title"] == "80 % of your credits are used"


async def test_slacks_incoming_webhook_takes_it(told: Alerted) -> None:
    told.party.answers = like_slack
    url = f"{told.party.url}/services/T00000000/B00000000/secret"
    await route(told, await told.channel(NewSlack(kind="slack", name="Chat", webhook_url=url)))
    told.world.instance_id = await told.world.add_instance("Help <!channel>")
    await told.take(cap_event(told.world))
    await told.deliverer().turn()

    [asked] = told.party.asked
    assert "Help &lt;!channel&gt;: 80 % of the daily cap is used" in asked.json["text"]
    assert (await only(told)).status == "sent"


async def test_a_slack_bot_posts_to_its_channel(told: Alerted) -> None:
    told.party.says({"ok": False, "error": "channel_not_found"}, {"ok": True})
    bot = NewSlack(kind="slack", name="Chat", bot_token="xoxb-1234567890-abcdef", channel="#billing")
    await route(told, await told.channel(bot))
    await told.take(wallet_event(told.world))
    await told.deliverer().turn()
    assert "channel_not_found" in (await only(told)).error
    told.world.clock.at_ms += 1_000
    await told.deliverer().turn()

    assert [asked.path for asked in told.party.asked] == ["/api/chat.postMessage"] * 2
    assert told.party.asked[1].headers["Authorization"] == "Bearer xoxb-1234567890-abcdef"
    assert told.party.asked[1].json["channel"] == "#billing"
    assert (await only(told)).status == "sent"


async def test_it_is_tried_again_later_and_later_under_one_name(told: Alerted) -> None:
    await route(told, await told.channel())
    told.party.says({}, status=500)
    await told.take(wallet_event(told.world))
    deliverer = told.deliverer()

    pauses = []
    for _ in range(2):
        assert await deliverer.turn() == 1
        message = await only(told)
        assert (message.status, message.error) == ("waiting", "the webhook answered with status 500")
        pauses.append(message.next_try_at_ms - told.world.clock.at_ms)
        told.world.clock.at_ms = message.next_try_at_ms - 1
        assert await deliverer.turn() == 0
        told.world.clock.at_ms += 1
    told.party.answers = lambda _: web.json_response({})
    await deliverer.turn()

    assert pauses == [1_000, 2_000]
    assert len({asked.headers["webhook-id"] for asked in told.party.asked}) == 1
    assert len({verified(asked)["timestamp"] for asked in told.party.asked}) == 3
    assert ((await only(told)).status, (await only(told)).attempts) == ("sent", 3)


async def test_it_is_given_up_with_the_reason_and_can_be_asked_for(told: Alerted) -> None:
    await route(told, await told.channel())
    told.party.says({}, status=503)
    await told.take(wallet_event(told.world))
    for _ in range(5):
        await told.deliverer().turn()
        told.world.clock.at_ms += 10_000
    dead = await only(told)
    assert (dead.status, dead.attempts) == ("dead", told.settings.max_attempts)
    assert "503" in dead.error
    assert len(told.party.asked) == told.settings.max_attempts

    told.party.says({})
    async with told.world.database.writing() as session:
        await service.retry(session, told.principal(), dead.delivery_id, told.world.clock())
    await told.deliverer().turn()

    assert (await only(told)).status == "sent"
    assert told.party.asked[-1].headers["webhook-id"] == dead.delivery_id


@pytest.mark.parametrize("how", ["gone", "removed", "off"])
async def test_who_says_never_again_is_not_asked_again(told: Alerted, how: str) -> None:
    channel_id = await told.channel()
    await route(told, channel_id)
    await told.take(wallet_event(told.world))
    told.party.says({}, status=410)
    async with told.world.database.writing() as session:
        if how == "removed":
            await channels.delete(session, told.plane(), told.principal(), channel_id)
        if how == "off":
            wanted = ChannelChange(enabled=False)
            await channels.change(
                session,
                told.plane(),
                told.principal(),
                told.settings,
                channel_id,
                wanted=wanted,
                mails=True,
            )
    await told.deliverer().turn()

    message = await only(told)
    assert message.status == "dead"
    assert {"gone": "410", "removed": "removed", "off": "switched off"}[how] in message.error
    assert len(told.party.asked) == (1 if how == "gone" else 0)


async def test_a_mailbox_that_is_full_for_good_is_told_beside_the_sent(told: Alerted) -> None:
    mails = NewEmail(kind="email", name="Ops", addresses=["ops@example.com", "gone@example.com"])
    await route(told, await told.channel(mails))
    with mail_server() as server:
        told.mails_to(server)
        server.refused["gone@example.com"] = "550 5.1.1 no such mailbox"
        await told.take(wallet_event(told.world))
        await told.deliverer().turn()

    message = await only(told)
    assert (message.status, message.error) == ("sent", "gone@example.com: 550 5.1.1 no such mailbox")


async def test_two_processes_send_each_message_once(told: Alerted, place: Place) -> None:
    await route(told, await told.channel(), await told.channel())
    await told.take(*(wallet_event(told.world, 800, period_start_ms=start) for start in range(1, 13)))
    databases = [place.open() for _ in range(2)]
    deliverers = [told.deliverer(database) for database in databases]

    while any(await asyncio.gather(*(deliverer.turn() for deliverer in deliverers))):
        pass

    ids = [asked.headers["webhook-id"] for asked in told.party.asked]
    assert sorted(ids) == sorted(message.delivery_id for message in await told.deliveries())
    assert len(ids) == 24
    for database in databases:
        await database.close()


async def test_who_dies_while_sending_is_followed_by_another(told: Alerted, place: Place) -> None:
    await route(told, await told.channel())
    await told.take(wallet_event(told.world))
    arrived, never = asyncio.Event(), asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        arrived.set()
        await never.wait()
        return web.Response()

    hanging = _Hanging(told, hang)
    async with hanging:
        dying = asyncio.create_task(told.deliverer().turn())
        await arrived.wait()
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        never.set()
    other = place.open()
    # It counts as under way until its time is over.
    assert await told.deliverer(other).turn() == 0
    told.world.clock.at_ms += told.settings.lease_ms
    assert await told.deliverer(other).turn() == 1

    message = await only(told)
    assert (message.status, message.attempts) == ("sent", 2)
    assert [asked.headers["webhook-id"] for asked in told.party.asked] == [message.delivery_id]
    await other.close()


class _Hanging:
    """The third party takes requests and says nothing, for as long as the block lasts."""

    def __init__(self, told: Alerted, handler: Any) -> None:
        self._told, self._handler = told, handler

    async def __aenter__(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handler)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self._url = f"http://127.0.0.1:{port}"
        await self._point(f"{self._url}/hook")

    async def __aexit__(self, *_: object) -> None:
        await self._point(f"{self._told.party.url}/hook")
        await self._runner.cleanup()

    async def _point(self, url: str) -> None:
        told = self._told
        async with told.world.database.writing() as session:
            [row] = await repository.channels(session, told.world.org_id)
            await channels.change(
                session,
                told.plane(),
                told.principal(),
                told.settings,
                row.channel_id,
                wanted=ChannelChange(url=url),
                mails=True,
            )
