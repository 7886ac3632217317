"""From an empty database to a marketplace: made by command, and its operator signs in to it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import issuer_server
import msgspec
import pytest
import pytest_asyncio
from containers import free_ports
from control_places import Place, at
from control_server import Api, serving
from control_world import World
from redis.asyncio import Redis
from waiting import eventually

from kit import clock
from kit.settings import OidcSettings
from metering import price_schedule
from metering.price_schedule import PriceSchedule
from metering.prices import PriceBook
from schemas import keys


@dataclass
class Command:
    """`runmeter tenant` against a test's stores."""

    place: Place
    redis_url: str

    async def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Return the status, and what was printed."""
        ran = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "stack.cli", "tenant", *arguments),
            env={
                **os.environ,
                "RUNMETER_DATABASE_URL": self.place.settings.url.get_secret_value(),
                "RUNMETER_DATA_DIR": str(self.place.data_dir),
                "RUNMETER_REDIS_URL": self.redis_url,
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await ran.communicate()
        return ran.returncode or 0, out.decode().strip(), err.decode().strip()


@pytest.fixture
def tenant(empty_place: Place, redis_url: str) -> Command:
    return Command(empty_place, redis_url)


@pytest_asyncio.fixture
async def world(empty_place: Place) -> AsyncIterator[World]:
    """A world with nothing in it yet."""
    database = empty_place.open()
    world = World(database)
    world.clock.at_ms = clock.now_ms()
    yield world
    await database.close()


async def test_an_operator_of_a_new_tenant_signs_in_and_runs_have_prices(
    tenant: Command, world: World, redis_url: str, redis: Redis
) -> None:
    nowhere = f"127.0.0.1:{free_ports('nobody')['nobody']}"
    async with issuer_server.running(world.clock() // 1000) as issuer, aiohttp.ClientSession() as http:
        oidc = OidcSettings(issuer=issuer.url, tenant_id=world.tenant_id)
        token = issuer.token(sub="olga", realm_access={"roles": ["runmeter-operator"]})
        headers = {"Authorization": f"Bearer {token}"}
        async with serving(tenant.place, redis_url, nowhere, world, oidc=oidc) as url:
            api = Api(url, http, redis, world)
            assert (await api("GET", "/account", headers=headers)).status == 403

            status, said, _ = await tenant("add", world.tenant_id, "--name", "A market", "--markup", "20")

            assert (status, said.startswith(f"{world.tenant_id} made")) == (0, True)
            account = await api("GET", "/account", headers=headers)
            assert (account.status, account.body["role"]) == (200, "operator")
            await _charges_list_prices_and_a_fifth(redis, world)
            (book,) = (await api("GET", "/prices", headers=headers)).body["books"]
            assert book["version"] in said


async def _charges_list_prices_and_a_fifth(redis: Redis, world: World) -> None:
    """As a gateway admits a run and a worker prices it."""

    async def scheduled() -> bool:
        return bool(await redis.exists(keys.price_schedule(world.tenant_id)))

    await eventually(scheduled, "the tenant's prices are projected")
    schedule = msgspec.json.decode(await redis.get(keys.price_schedule(world.tenant_id)), type=PriceSchedule)
    version = price_schedule.version_at(schedule, world.clock())
    book = msgspec.json.decode(await redis.get(keys.price_book(version)), type=PriceBook)
    # 0.15 US dollars per million tokens of input, and 20 %, at 100 credits a dollar.
    assert book.models["gpt-4o-mini"].input == 18_000_000


async def test_what_is_there_stays_as_it_is(tenant: Command, world: World) -> None:
    assert (await tenant("list"))[1].startswith("there is no tenant yet")
    _, made, _ = await tenant("add", "acme", "--name", "Acme", "--markup", "20")

    status, again, _ = await tenant("add", "acme", "--name", "Other", "--markup", "50")

    assert (status, again) == (0, "acme is there, and has prices: its operators change them in the console")
    (line,) = (await tenant("list"))[1].splitlines()
    assert line.split() == ["acme", "active", made.rpartition(" ")[2], "Acme"]


async def test_a_services_token_opens_the_api_until_it_is_taken_back(
    tenant: Command, world: World, redis_url: str, redis: Redis
) -> None:
    await tenant("add", world.tenant_id, "--name", "A market")
    _, token, _ = await tenant("token", world.tenant_id, "--subject", "the shop")
    nowhere = f"127.0.0.1:{free_ports('nobody')['nobody']}"
    async with (
        serving(tenant.place, redis_url, nowhere, world) as url,
        aiohttp.ClientSession() as http,
    ):
        api, headers = Api(url, http, redis, world), {"Authorization": f"Bearer {token}"}
        account = await api("GET", "/account", headers=headers)
        assert (account.body["subject"], account.body["role"]) == ("the shop", "operator")

        assert (await tenant("revoke", world.tenant_id, "--subject", "the shop"))[1].startswith("1 token")

        assert (await api("GET", "/account", headers=headers)).status == 401


@pytest.mark.parametrize("backend", ["sqlite"])
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("add", "a b", "--name", "Acme"), "letters, digits, dots"),
        (("add", "acme", "--name", " "), "1 to 256 characters"),
        (("add", "acme", "--name", "Acme", "--markup", "-1"), "whole percent"),
        (("token", "nobody", "--subject", "shop"), "runmeter tenant list"),
        (("token", "acme", "--subject", "shop", "--org", "org_1"), "an operator's token"),
    ],
)
async def test_what_cannot_be_is_refused_with_the_remedy(
    tenant: Command, arguments: tuple[str, ...], told: str
) -> None:
    status, said, why = await tenant(*arguments)

    assert status
    assert (said, told in why) == ("", True)
    assert "Traceback" not in why


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_a_database_that_is_away_is_named(tenant: Command, redis_url: str) -> None:
    place = Place(at("postgresql://nobody@127.0.0.1:1/x", "runmeter"), tenant.place.data_dir)

    status, _, why = await Command(place, redis_url)("list")

    assert status
    assert "RUNMETER_DATABASE_URL" in why
    assert "Traceback" not in why
