"""An operator reads, previews, publishes, schedules and withdraws prices; published books never change."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from control_server import Api
from control_world import NOW
from waiting import eventually

from console_api.control.directory import prices
from metering.price_schedule import PriceSchedule
from metering.prices import PriceBook, Rates, Tier, versioned
from schemas import keys
from schemas.directory import Role

BUYERS: tuple[Role, ...] = ("owner", "admin", "member", "viewer")
CHEAP = Rates(
    input=1_000_000, cache_read=500_000, cache_write=1_000_000, output=4_000_000, reasoning=4_000_000
)
DEAR = msgspec.structs.replace(CHEAP, input=2_000_000, output=8_000_000, reasoning=8_000_000)
RATES = {"input": 10, "cache_read": 1, "cache_write": 12, "output": 40, "reasoning": 40}
BOOK = versioned(
    PriceBook(
        version="",
        models={"small": CHEAP, "long": CHEAP},
        tiers={"long": (Tier(above_input_tokens=1_000, rates=DEAR),)},
        default=DEAR,
        per_run=7,
        per_tool_call=50,
    ),
    "first",
)
NEW = {"book": {"name": "new", "base": BOOK.version, "per_run_micro": 9}}
CHEAPER = {**RATES, "input": 9}


async def _published(api: Api, from_ms: int = 0) -> None:
    async with api.world.database.writing() as session:
        tenant_id, at_ms = api.world.tenant_id, api.world.clock()
        await prices.publish_book(session, tenant_id, BOOK, actor="test", at_ms=at_ms)
        await prices.schedule_book(session, tenant_id, BOOK.version, from_ms, actor="test", at_ms=at_ms)


async def _ask(api: Api, method: str, path: str, body: Any = None, org_id: str = "") -> Any:
    headers = await api.headers("operator", org_id)
    return await api(method, path, body, headers=headers)


@pytest.mark.parametrize("role", BUYERS)
async def test_prices_are_the_operators_business(api: Api, role: Role) -> None:
    await _published(api)
    new = {"book": {"name": "new", "base": BOOK.version}}
    for method, path, body in (
        ("GET", "/prices", None),
        ("GET", f"/prices/books/{BOOK.version}", None),
        ("POST", "/prices", new),
        ("POST", "/prices:preview", new),
        ("POST", "/prices:schedule", {"version": BOOK.version}),
        ("POST", "/prices:withdraw", {"effective_from_ms": NOW + 1}),
    ):
        answer = await api(method, path, body, role=role)
        assert (answer.status, answer.body["code"]) == (403, "forbidden")


async def test_a_new_book_holds_from_its_moment_and_gateways_hear_of_it(api: Api) -> None:
    await _published(api)
    terms = {"name": "new", "base": BOOK.version, "mark_up_permille": 500, "models": {"small": RATES}}
    later = NOW + 3_600_000

    made = await _ask(api, "POST", "/prices", {"book": terms, "effective_from_ms": later})

    assert made.status == 200, made.body
    (to_come, in_force) = made.body["entries"]
    assert (to_come["state"], to_come["effective_from_ms"]) == ("to_come", later)
    assert (in_force["state"], in_force["version"]) == ("in_force", BOOK.version)
    assert made.body["in_force"] == BOOK.version
    book = (await _ask(api, "GET", f"/prices/books/{to_come['version']}")).body
    by_model = {model["model"]: model for model in book["models"]}
    assert by_model["small"]["rates"] == RATES
    assert by_model["long"]["rates"]["input"] == 1_500_000
    assert by_model["long"]["tiers"][0]["rates"]["output"] == 12_000_000
    assert (book["per_run_micro"], book["per_tool_call_micro"]) == (7, 50)

    async def known() -> bool:
        blob = await api.redis.get(keys.price_schedule(api.world.tenant_id))
        return blob is not None and to_come["version"].encode() in blob

    await eventually(known, "the schedule is projected")
    blob = await api.redis.get(keys.price_schedule(api.world.tenant_id))
    assert msgspec.json.decode(blob, type=PriceSchedule).entries[1].effective_from_ms == later
    entries = await api.world.audited(api.world.tenant_id)
    assert [entry.action for entry in entries if entry.actor == "operator@example.com"] == [
        "price_book.publish",
        "price_schedule.change",
    ]


async def test_without_a_moment_it_is_announced_shortly_before_it_holds(api: Api) -> None:
    await _published(api)

    made = await _ask(api, "POST", "/prices", NEW)

    entry = made.body["entries"][0]
    assert entry["state"] == "to_come"
    assert NOW < entry["effective_from_ms"] <= NOW + 60_000
    late = {"version": entry["version"], "effective_from_ms": NOW - 5}
    again = await _ask(api, "POST", "/prices:schedule", late)
    assert again.status == 200, "a clock that is a little behind is forgiven"


async def test_the_first_book_of_a_marketplace_holds_always(api: Api) -> None:
    made = await _ask(api, "POST", "/prices", {"book": {"name": "own", "mark_up_permille": 250}})

    assert made.status == 200, made.body
    (entry,) = made.body["entries"]
    assert (entry["effective_from_ms"], entry["state"]) == (0, "in_force")
    assert made.body["books"][0]["models"] > 50


@pytest.mark.parametrize(
    "terms",
    [
        {"models": {"small": {**RATES, "input": -1}}},
        {"models": {"small": {**RATES, "reasoning": 39}}},
        {"models": {"small": {**RATES, "output": 10**12, "reasoning": 10**12}}},
        {"mark_up_permille": 10_001},
        {"mark_ups_permille": {"nothing-like-it*": 100}},
        {"tiers": {"small": [{"above_input_tokens": 5, "rates": RATES}]}},
        {"models": {"small": RATES}, "tiers": {"small": [{"above_input_tokens": 5, "rates": CHEAPER}]}},
        {"tools_micro": {"search": -1}},
        {"name": "Not a name"},
        {"surprise": 1},
    ],
)
async def test_prices_that_make_no_sense_are_refused(api: Api, terms: dict[str, Any]) -> None:
    await _published(api)
    for path in ("/prices", "/prices:preview"):
        answer = await _ask(api, "POST", path, {"book": {"name": "new", "base": BOOK.version, **terms}})
        assert (answer.status, answer.body["code"]) == (422, "invalid_request")
    assert len((await _ask(api, "GET", "/prices")).body["books"]) == 1


async def test_the_past_does_not_change(api: Api) -> None:
    await _published(api)

    answer = await _ask(api, "POST", "/prices", {**NEW, "effective_from_ms": NOW - 3_600_000})
    assert (answer.status, answer.body["code"]) == (422, "invalid_request")
    made = (await _ask(api, "POST", "/prices", {**NEW, "effective_from_ms": NOW + 10_000})).body
    api.world.clock.at_ms = NOW + 20_000
    held = await _ask(api, "POST", "/prices:withdraw", {"effective_from_ms": NOW + 10_000})
    assert (held.status, held.body["code"]) == (409, "conflict")
    assert (await _ask(api, "GET", "/prices")).body["in_force"] == made["entries"][0]["version"]


async def test_what_is_to_come_can_be_withdrawn(api: Api) -> None:
    await _published(api)
    await _ask(api, "POST", "/prices", {**NEW, "effective_from_ms": NOW + 10_000})

    left = await _ask(api, "POST", "/prices:withdraw", {"effective_from_ms": NOW + 10_000})

    assert [entry["version"] for entry in left.body["entries"]] == [BOOK.version]
    assert len(left.body["books"]) == 2, "a published book stays"


async def test_a_preview_prices_samples_under_both_books_and_publishes_nothing(api: Api) -> None:
    await _published(api)
    samples = [
        {"model": "small", "input_uncached": 1_000_000, "output": 500_000, "tool_calls": 2},
        {"model": "long", "input_uncached": 2_000},
        {"model": "unheard-of", "input_uncached": 1_000_000},
    ]
    terms = {"name": "new", "base": BOOK.version, "mark_up_permille": 1_000, "per_tool_call_micro": 60}

    seen = (await _ask(api, "POST", "/prices:preview", {"book": terms, "samples": samples})).body

    costs = [(one["before_micro"], one["after_micro"], one["unpriced"]) for one in seen["samples"]]
    assert costs == [
        (1_000_000 + 2_000_000 + 7 + 100, 2_000_000 + 4_000_000 + 7 + 120, False),
        (4_000 + 7, 8_000 + 7, False),
        (2_000_000 + 7, 4_000_000 + 7, True),
    ]
    assert seen["compared_with"] == BOOK.version
    assert {change["model"] for change in seen["changes"]} == {"small", "long"}
    assert seen["usage"] is None, "the history is away here"
    assert len((await _ask(api, "GET", "/prices")).body["books"]) == 1


async def test_another_tenants_books_are_not_there(api: Api) -> None:
    await _published(api)
    stranger = await api.headers("operator", "", "tenant_elsewhere")

    assert (await api("GET", f"/prices/books/{BOOK.version}", headers=stranger)).status == 404
    taken = {"book": {"name": "mine", "base": BOOK.version}}
    assert (await api("POST", "/prices:preview", taken, headers=stranger)).status == 404
