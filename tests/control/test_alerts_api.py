"""Alerts over HTTP: who may set them up, what is never shown, and what was told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from alerts_rig import SECRET, Alerted, alerted, like_slack, verified, wallet_event
from containers import free_ports
from control_places import Place
from control_server import Api, serving
from control_world import World
from mail_server import SENDER, MailServer, mail_server
from redis.asyncio import Redis
from waiting import eventually

from console_api.alerts.running import AlertsConfig
from console_api.control.vault import service as vault
from kit.seal import load_seal
from kit.settings import AlertSettings, ConnectorSettings, SecretsSettings, SmtpSettings

TOKEN = "xoxb-1234567890-abcdef"
MAIL = {"kind": "email", "name": "Ops", "addresses": ["ops@example.com"]}
BOT = {"kind": "slack", "name": "Chat", "bot_token": TOKEN, "channel": "#billing"}


@pytest_asyncio.fixture
async def told(place: Place, world: World) -> AsyncIterator[Alerted]:
    async with alerted(place, world) as made:
        yield made


@pytest.fixture
def mails() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest_asyncio.fixture
async def api(
    place: Place, redis_url: str, redis: Redis, world: World, told: Alerted, mails: MailServer
) -> AsyncIterator[Api]:
    nowhere = f"127.0.0.1:{free_ports('nobody')['nobody']}"
    outbound = ConnectorSettings(private_hosts="127.0.0.1", slack_base_url=told.party.url, timeout_ms=60_000)
    alerts = AlertsConfig(
        AlertSettings(
            poll_ms=20, max_channels=3, test_every_s=60, slack_hooks_url=f"{told.party.url}/services/"
        ),
        SmtpSettings(host="127.0.0.1", port=mails.port, tls="none", sender=SENDER),
    )
    async with (
        serving(place, redis_url, nowhere, world, connectors=outbound, alerts=alerts) as url,
        aiohttp.ClientSession() as http,
    ):
        yield Api(url, http, redis, world)


async def test_there_are_rules_and_owners_before_anybody_did_anything(api: Api, told: Alerted) -> None:
    await told.owner("ada@example.com")

    [owners] = (await api("GET", "/alerts/channels")).body["channels"]
    rules = (await api("GET", "/alerts/rules")).body["rules"]

    assert (owners["channel_id"], owners["target"], owners["usable"]) == ("owners", "ada@example.com", True)
    assert [rule["kind"] for rule in rules] == ["credits", "cap", "anomaly", "forecast", "payment"]
    assert all(rule["enabled"] and rule["is_default"] and rule["channels"] == ["owners"] for rule in rules)
    assert (rules[0]["thresholds_percent"], rules[2]["minimum_micro"], rules[3]["days"]) == (
        [80, 100],
        5_000_000,
        7,
    )


async def test_what_happens_reaches_the_channel_and_the_history(api: Api, told: Alerted) -> None:
    hook = {"kind": "webhook", "name": "Hook", "url": f"{told.party.url}/in?token=abc", "secret": SECRET}
    made = await api("POST", "/alerts/channels", hook)
    assert (made.status, made.body["target"]) == (201, f"{told.party.url}/in")
    channel_id = made.body["channel_id"]
    wanted = {"enabled": True, "channels": [channel_id], "thresholds_percent": [50]}
    assert (await api("PUT", "/alerts/rules/credits", wanted)).body["is_default"] is False

    await told.take(wallet_event(told.world, 500))
    await eventually(lambda: _is_sent(api), "it is delivered")

    [alert] = (await api("GET", "/alerts")).body["alerts"]
    [message] = alert["deliveries"]
    assert (alert["kind"], alert["title"]) == ("credits", "50 % of your credits are used")
    assert (message["channel"], message["status"], message["attempts"]) == ("Hook", "sent", 1)
    [asked] = told.party.asked
    assert (asked.path, asked.query) == ("/in", "token=abc")
    assert verified(asked)["data"]["alert_id"] == alert["alert_id"]
    retried = await api("POST", f"/alerts/deliveries/{message['delivery_id']}:retry")
    assert (retried.status, retried.body["code"]) == (409, "conflict")


async def _is_sent(api: Api) -> bool:
    found = (await api("GET", "/alerts")).body["alerts"]
    return bool(found) and all(one["status"] == "sent" for one in found[0]["deliveries"])


async def test_the_history_is_paged(api: Api, told: Alerted) -> None:
    for start in range(1, 4):
        told.world.clock.at_ms += 1
        await told.take(wallet_event(told.world, period_start_ms=start))

    first = (await api("GET", "/alerts?limit=2")).body
    second = (await api("GET", f"/alerts?limit=2&cursor={first['next_cursor']}")).body

    shown = [one["details"]["period_start_ms"] for one in first["alerts"] + second["alerts"]]
    assert (shown, second["next_cursor"]) == ([3, 2, 1], None)
    assert (await api("GET", "/alerts?cursor=nonsense")).status == 422


async def test_a_channel_can_be_tried_but_not_all_the_time(
    api: Api, told: Alerted, mails: MailServer
) -> None:
    await told.owner("ada@example.com")
    mail = (await api("POST", "/alerts/channels", MAIL)).body
    bot = (await api("POST", "/alerts/channels", BOT)).body
    told.party.says({"ok": False, "error": "invalid_auth"})

    passed = await api("POST", f"/alerts/channels/{mail['channel_id']}:test")
    failed = await api("POST", f"/alerts/channels/{bot['channel_id']}:test")
    again = await api("POST", f"/alerts/channels/{mail['channel_id']}:test")
    owners = await api("POST", "/alerts/channels/owners:test")

    assert (passed.status, passed.body["passed"], owners.body["passed"]) == (200, True, True)
    assert (failed.body["passed"], "invalid_auth" in failed.body["said"]) == (False, True)
    assert (again.status, again.body["code"], again.headers["Retry-After"]) == (429, "rate_limited", "60")
    assert [one.recipients for one in mails.taken] == [["ops@example.com"], ["ada@example.com"]]
    assert mails.taken[0].message["Subject"] == "This is a test"
    listed = (await api("GET", "/alerts/channels")).body["channels"]
    assert [one["last_test"] and one["last_test"]["passed"] for one in listed] == [None, True, False]
    assert (await api("GET", "/alerts")).body["alerts"] == []


async def test_what_opens_a_channel_is_sealed_and_never_shown(
    api: Api, told: Alerted, place: Place, world: World
) -> None:
    url = f"{told.party.url}/services/T00000000/B0/s3cretpart"
    made = [
        await api("POST", "/alerts/channels", one)
        for one in (
            BOT,
            {"kind": "slack", "name": "Hook", "webhook_url": url},
            {"kind": "webhook", "name": "Own", "url": f"{told.party.url}/in?token=s3cretpart"},
        )
    ]
    secret = made[2].body["signing_secret"]
    assert [one.body["signing_secret"] for one in made[:2]] == [None, None]
    assert secret.startswith("whsec_")
    told.party.answers = like_slack
    assert (await api("POST", f"/alerts/channels/{made[1].body['channel_id']}:test")).body["passed"]
    told.party.says({})
    assert (await api("POST", f"/alerts/channels/{made[2].body['channel_id']}:test")).body["passed"]
    assert verified(told.party.asked[0], secret)["type"] == "alert.test"

    seen = str([(await api("GET", "/alerts/channels")).body, (await api("GET", "/account/audit")).body])
    for hidden in (TOKEN, "s3cretpart", secret):
        assert hidden not in seen
    name = f"alert-channel:{made[0].body['channel_id']}"
    async with world.database.reading() as session:
        seal = load_seal(SecretsSettings(), place.data_dir)
        kept = await vault.read(session, seal, world.tenant_id, name, org_id=world.org_id)
    assert TOKEN in (kept or "")

    await api("DELETE", f"/alerts/channels/{made[0].body['channel_id']}")
    async with world.database.reading() as session:
        assert await vault.read(session, seal, world.tenant_id, name, org_id=world.org_id) is None
    actions = [entry.action for entry in await world.audited(made[0].body["channel_id"])]
    assert sorted(actions) == ["alert_channel.create", "alert_channel.delete"]


async def test_a_channel_is_changed_in_part(api: Api, told: Alerted) -> None:
    made = (await api("POST", "/alerts/channels", BOT)).body
    path = f"/alerts/channels/{made['channel_id']}"
    told.party.says({"ok": True})

    assert (await api("PATCH", path, {"channel": "#sales", "name": "Sales"})).body["target"] == "#sales"
    await api("POST", f"{path}:test")
    assert told.party.asked[0].headers["Authorization"] == f"Bearer {TOKEN}"
    assert told.party.asked[0].json["channel"] == "#sales"
    url = f"{told.party.url}/services/T00000000/B0/x"
    assert (await api("PATCH", path, {"webhook_url": url})).body["target"] == "Incoming webhook"
    assert (await api("PATCH", path, {"channel": "#x"})).status == 422
    assert (await api("PATCH", path, {"addresses": ["a@example.com"]})).status == 422
    assert (await api("PATCH", path, {"enabled": False})).body["enabled"] is False


@pytest.mark.parametrize(
    "wanted",
    [
        {**MAIL, "addresses": []},
        {**MAIL, "addresses": ["ops@example.com\nBcc: x@example.com"]},
        {**MAIL, "addresses": ["ops"]},
        {**MAIL, "kind": "fax"},
        {"kind": "slack", "name": "Half", "bot_token": TOKEN},
        {"kind": "slack", "name": "Elsewhere", "webhook_url": "https://hooks.example.com/services/T0/B0/x"},
        {**BOT, "webhook_url": "https://hooks.slack.com/services/T0/B0/x"},
        {"kind": "webhook", "name": "Short", "url": "https://example.com", "secret": "whsec_short"},
        {"kind": "webhook", "name": "Odd", "url": "ftp://example.com"},
    ],
)
async def test_what_leads_nowhere_is_refused(api: Api, wanted: dict[str, Any]) -> None:
    answer = await api("POST", "/alerts/channels", wanted)

    assert answer.status == 422, answer.body
    assert TOKEN not in str(answer.body)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("credits", {"days": 3}),
        ("credits", {"thresholds_percent": [70]}),
        ("forecast", {"days": 0}),
        ("anomaly", {"minimum_micro": -1}),
        ("payment", {"thresholds_percent": [80]}),
        ("payment", {"channels": ["ach_unknown"]}),
        ("weather", {}),
    ],
)
async def test_a_rule_that_makes_no_sense_is_refused(api: Api, kind: str, fields: dict[str, Any]) -> None:
    wanted = {"enabled": True, "channels": ["owners"], **fields}

    assert (await api("PUT", f"/alerts/rules/{kind}", wanted)).status == 422


async def test_there_is_a_limit(api: Api) -> None:
    statuses = [(await api("POST", "/alerts/channels", MAIL)).status for _ in range(4)]

    assert statuses == [201, 201, 201, 409]


async def test_admins_set_alerts_and_others_of_the_org_look(api: Api, told: Alerted) -> None:
    made = (await api("POST", "/alerts/channels", MAIL, role="admin")).body
    await told.take(wallet_event(told.world))
    [alert] = (await api("GET", "/alerts", role="viewer")).body["alerts"]
    path = f"/alerts/channels/{made['channel_id']}"
    rule = {"enabled": False, "channels": []}
    changes = [
        ("POST", "/alerts/channels", MAIL),
        ("PATCH", path, {"enabled": False}),
        ("DELETE", path, None),
        ("POST", f"{path}:test", None),
        ("PUT", "/alerts/rules/credits", rule),
        ("POST", f"/alerts/deliveries/{alert['deliveries'][0]['delivery_id']}:retry", None),
    ]

    for method, where, body in changes:
        assert (await api(method, where, body, role="member")).status == 403, where
    foreign = await api.headers("owner", org_id="org_foreign")
    for method, where, body in changes[1:4] + changes[5:]:
        assert (await api(method, where, body, headers=foreign)).status == 404, where
    assert (await api("GET", "/alerts", headers=foreign)).body["alerts"] == []
    for where in ("/alerts/channels", "/alerts/rules"):
        assert (await api("GET", where, role="viewer")).status == 200
