"""HubSpot, Slack, Zendesk and webhooks: the requests their documentation asks for, and every way to fail."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from third_parties import ThirdParty, third_party

from kit.connectors import KINDS
from kit.connectors.outbound import Outbound
from kit.connectors.port import BadSettings, Connector, ConnectorFailed, schema_of
from kit.settings import ConnectorSettings

SECRET = "whsec_" + b64encode(b"0123456789abcdef0123456789abcdef").decode()
HUBSPOT = {"access_token": "pat-eu1-0123456789"}
SLACK = {"bot_token": "xoxb-1234567890-abcdef"}
ZENDESK = {"email": "ada@example.com", "api_token": "abcdefghij0123456789"}


@pytest_asyncio.fixture
async def party() -> AsyncIterator[ThirdParty]:
    async with third_party() as made:
        yield made


def connector(
    party: ThirdParty, kind: str, settings: dict[str, Any], credentials: dict[str, Any], **limits: Any
) -> Connector:
    made = KINDS[kind]
    kept = made.reduced(settings)
    return made.connector("Support", kept, made.checked_credentials(credentials), party.outbound(**limits))


async def act(made: Connector, name: str, arguments: dict[str, Any]) -> str:
    [action] = [action for action in made.actions() if action.name == name]
    return await action.call(arguments)


async def test_hubspot_is_searched_by_address(party: ThirdParty) -> None:
    party.says({"total": 1, "results": [{"id": "7", "properties": {"email": "b@x.org", "firstname": "Bob"}}]})
    hubspot = connector(party, "hubspot", {}, HUBSPOT)

    told = await act(hubspot, "hubspot_find_contact", {"email": "b@x.org"})

    [asked] = party.asked
    assert (asked.method, asked.path) == ("POST", "/crm/v3/objects/contacts/search")
    assert asked.headers["Authorization"] == "Bearer pat-eu1-0123456789"
    assert asked.headers["Content-Type"].startswith("application/json")
    assert asked.json == {
        "filterGroups": [{"filters": [{"propertyName": "email", "operator": "EQ", "value": "b@x.org"}]}],
        "properties": ["email", "firstname", "lastname", "company", "phone", "lifecyclestage"],
        "limit": 5,
    }
    assert told == "email: b@x.org; firstname: Bob"


async def test_hubspot_saves_by_address_and_only_what_may_be_written(party: ThirdParty) -> None:
    party.says({"status": "COMPLETE", "results": [{"id": "7", "new": True, "properties": {}}]})
    hubspot = connector(party, "hubspot", {"write": ["firstname"]}, HUBSPOT)

    told = await act(
        hubspot, "hubspot_save_contact", {"email": "b@x.org", "firstname": "Bob", "hs_lead_status": "x"}
    )

    [asked] = party.asked
    assert (asked.method, asked.path) == ("POST", "/crm/v3/objects/contacts/batch/upsert")
    assert asked.json == {
        "inputs": [
            {"idProperty": "email", "id": "b@x.org", "properties": {"firstname": "Bob", "email": "b@x.org"}}
        ]
    }
    assert told == "created"


async def test_hubspot_may_be_read_only(party: ThirdParty) -> None:
    hubspot = connector(party, "hubspot", {"may_write": False}, HUBSPOT)

    assert [action.name for action in hubspot.actions()] == ["hubspot_find_contact"]


async def test_hubspot_is_tried_by_reading(party: ThirdParty) -> None:
    party.says({"results": []})
    await connector(party, "hubspot", {}, HUBSPOT).test()

    [asked] = party.asked
    assert (asked.method, asked.path, asked.query) == ("GET", "/crm/v3/objects/contacts", "limit=1")
    party.says({"status": "error", "message": "expired"}, status=401)
    with pytest.raises(ConnectorFailed, match="does not accept the access token"):
        await connector(party, "hubspot", {}, HUBSPOT).test()


@pytest.mark.parametrize("email", ["", "no", "a b@x.org", "a@b", 7, "x" * 300 + "@x.org"])
async def test_hubspot_is_not_asked_about_what_is_no_address(party: ThirdParty, email: object) -> None:
    with pytest.raises(ConnectorFailed):
        await act(connector(party, "hubspot", {}, HUBSPOT), "hubspot_find_contact", {"email": email})

    assert party.asked == []


async def test_slack_posts_to_its_channel_and_alerts_nobody(party: ThirdParty) -> None:
    party.says({"ok": True, "channel": "C0123456789", "ts": "1.2"})
    slack = connector(party, "slack", {"channel": "C0123456789"}, SLACK)

    told = await act(slack, "slack_post_support", {"text": "<!channel> R&D", "channel": "C9999999999"})

    [asked] = party.asked
    assert (asked.method, asked.path) == ("POST", "/api/chat.postMessage")
    assert asked.headers["Authorization"] == "Bearer xoxb-1234567890-abcdef"
    assert asked.headers["Content-Type"] == "application/json; charset=utf-8"
    assert asked.json == {"channel": "C0123456789", "text": "&lt;!channel&gt; R&amp;D"}
    assert told == "posted"


async def test_slack_refuses_with_200(party: ThirdParty) -> None:
    party.says({"ok": False, "error": "not_in_channel"})
    slack = connector(party, "slack", {"channel": "C0123456789"}, SLACK)

    with pytest.raises(ConnectorFailed, match="not_in_channel"):
        await act(slack, "slack_post_support", {"text": "Hello"})
    with pytest.raises(ConnectorFailed, match="not_in_channel"):
        await slack.test()
    assert party.asked[-1].path == "/api/auth.test"


async def test_who_is_busy_for_a_moment_is_asked_again_once(party: ThirdParty) -> None:
    busy = web.Response(status=429, headers={"Retry-After": "0"})
    party.says(busy, {"ok": True})
    slack = connector(party, "slack", {"channel": "#help"}, SLACK)

    assert await act(slack, "slack_post_support", {"text": "Hello"}) == "posted"
    assert len(party.asked) == 2
    party.says({}, status=429, headers={"Retry-After": "0"})
    with pytest.raises(ConnectorFailed, match="takes no more calls"):
        await act(slack, "slack_post_support", {"text": "Hello"})
    assert len(party.asked) == 2


@pytest.mark.parametrize("retry_after", ["30", "", "Wed, 21 Oct 2026 07:28:00 GMT"])
async def test_who_is_busy_for_long_is_not_waited_for(party: ThirdParty, retry_after: str) -> None:
    party.says({}, status=429, headers={"Retry-After": retry_after})
    slack = connector(party, "slack", {"channel": "#help"}, SLACK)

    with pytest.raises(ConnectorFailed) as caught:
        await act(slack, "slack_post_support", {"text": "Hello"})

    assert caught.value.code == "busy"
    assert len(party.asked) == 1


async def test_zendesk_opens_a_ticket(party: ThirdParty) -> None:
    party.says({"ticket": {"id": 35436}}, status=201)
    zendesk = connector(party, "zendesk", {"subdomain": "acme", "tags": ["agent"]}, ZENDESK)

    told = await act(
        zendesk,
        "zendesk_create_ticket",
        {"subject": "Late", "body": "It is late.", "requester_email": "b@x.org"},
    )

    [asked] = party.asked
    assert (asked.method, asked.path) == ("POST", "/api/v2/tickets.json")
    scheme, _, signed = asked.headers["Authorization"].partition(" ")
    assert (scheme, b64decode(signed)) == ("Basic", b"ada@example.com/token:abcdefghij0123456789")
    assert asked.json == {
        "ticket": {
            "subject": "Late",
            "comment": {"body": "It is late."},
            "priority": "normal",
            "tags": ["agent"],
            "requester": {"name": "b", "email": "b@x.org"},
        }
    }
    assert told == "opened ticket 35436"


async def test_zendesk_tells_strangers_that_they_are_nobody(party: ThirdParty) -> None:
    party.says({"user": {"id": None, "email": "invalid@example.com"}})
    zendesk = connector(party, "zendesk", {"subdomain": "acme"}, ZENDESK)

    with pytest.raises(ConnectorFailed, match="does not accept"):
        await zendesk.test()
    party.says({"user": {"id": 7, "email": "ada@example.com"}})
    assert await zendesk.test() == "connected as ada@example.com"
    assert party.asked[0].path == "/api/v2/users/me.json"


async def test_zendesk_says_why_it_refuses(party: ThirdParty) -> None:
    party.says({"error": "RecordInvalid", "description": "Record validation errors"}, status=422)

    with pytest.raises(ConnectorFailed, match="422: Record validation errors"):
        await act(
            connector(party, "zendesk", {"subdomain": "acme"}, ZENDESK),
            "zendesk_create_ticket",
            {"subject": "a", "body": "b"},
        )


async def test_a_webhook_is_signed_as_the_standard_has_it(party: ThirdParty) -> None:
    party.says({"order": "shipped"})
    settings = {
        "url": f"{party.url}/hooks",
        "description": "Look up an order",
        "event_type": "order.asked",
        "fields": [{"name": "order"}],
    }
    hook = connector(party, "webhook", settings, {"secret": SECRET})

    told = await act(hook, "send_support", {"order": "A-1", "extra": "dropped"})

    [asked] = party.asked
    content = b"%b.%b." % (
        asked.headers["webhook-id"].encode(),
        asked.headers["webhook-timestamp"].encode(),
    )
    expected = hmac.new(b64decode(SECRET[6:]), content + asked.body, sha256).digest()
    assert asked.headers["webhook-signature"] == "v1," + b64encode(expected).decode()
    assert (asked.method, asked.json["type"], asked.json["data"]) == ("POST", "order.asked", {"order": "A-1"})
    assert asked.json["timestamp"].endswith("Z")
    assert told == '{"order": "shipped"}'
    with pytest.raises(ConnectorFailed, match="`order` is missing"):
        await act(hook, "send_support", {})


def test_the_signature_is_the_standards_own_example() -> None:
    from kit.connectors.webhook import signed

    key = b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', key)

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}), "redirected"),
        (web.Response(status=200, body=b"x" * 2_000), "too_large"),
        (web.Response(status=200, body=b"not json"), "bad_answer"),
        (web.Response(status=500, body=b"{}"), "refused"),
    ],
)
async def test_answers_are_bounded_and_followed_nowhere(
    party: ThirdParty, answer: web.Response, code: str
) -> None:
    party.says(answer)
    slack = connector(party, "slack", {"channel": "#help"}, SLACK, max_answer_bytes=1_024)

    with pytest.raises(ConnectorFailed) as caught:
        await slack.test()

    assert caught.value.code == code
    assert len(party.asked) == 1
    assert "xoxb" not in str(caught.value)


@pytest.mark.parametrize(
    "host", ["http://127.0.0.1:8080", "https://localhost", "https://169.254.169.254", "http://example.com"]
)
async def test_nobody_is_called_in_our_network_or_without_tls(host: str) -> None:
    kind = KINDS["webhook"]
    kept = kind.reduced({"url": f"{host}/hook", "description": "x"})
    hook = kind.connector("x", kept, {"secret": SECRET}, Outbound(ConnectorSettings()))

    with pytest.raises(ConnectorFailed) as caught:
        await hook.test()

    assert caught.value.code == "address_refused"


@pytest.mark.parametrize(
    ("kind", "settings", "credentials"),
    [
        ("slack", {"channel": "C0123456789"}, {"bot_token": "xoxb-evil\r\nX: y"}),
        ("slack", {"channel": "help"}, SLACK),
        ("slack", {"channel": "#help", "more": 1}, SLACK),
        ("hubspot", {"write": ["Bad Name"]}, HUBSPOT),
        ("hubspot", {}, {}),
        ("zendesk", {"subdomain": "evil.example.com/"}, ZENDESK),
        ("zendesk", {"subdomain": "acme"}, {**ZENDESK, "email": "a:b@x.org"}),
        ("webhook", {"url": "ftp://x", "description": "x"}, {"secret": SECRET}),
        ("webhook", {"url": "https://x.org", "description": "x"}, {"secret": "whsec_c2hvcnQ="}),
        ("webhook", {"url": "https://x.org", "description": "x", "fields": []}, {"secret": SECRET}),
    ],
)
def test_what_no_connector_can_be_made_of_is_refused(
    kind: str, settings: dict[str, Any], credentials: dict[str, Any]
) -> None:
    made = KINDS[kind]

    with pytest.raises(BadSettings) as caught:
        made.connector(
            "x", made.reduced(settings), made.checked_credentials(credentials), Outbound(ConnectorSettings())
        )

    assert "evil" not in str(caught.value) or kind == "zendesk"


def test_every_kind_says_what_it_needs() -> None:
    for kind in KINDS.values():
        assert schema_of(kind.settings)["type"] == "object"
        assert schema_of(kind.credentials)["additionalProperties"] is False
