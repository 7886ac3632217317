"""Sealed secrets: what they keep to themselves, and how their keys are replaced."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from control_world import World
from cryptography.fernet import Fernet
from pydantic import SecretStr
from sqlalchemy import select

from console_api.control.vault import resealer as resealing
from console_api.control.vault import service as vault
from console_api.control.vault.resealer import Resealer
from console_api.control.vault.seal import CannotOpen, Seal, load_seal
from console_api.database.tables import Secret
from kit.settings import SecretsSettings

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
VALUE = "whsec_very-secret"


async def keep(world: World, seal: Seal, name: str, value: str, org_id: str = "") -> str:
    async with world.database.writing() as session:
        return await vault.keep(
            session,
            seal,
            world.tenant_id,
            name,
            value,
            org_id=org_id,
            actor="ada",
            at_ms=world.clock(),
        )


async def read(world: World, seal: Seal, name: str, org_id: str = "") -> str | None:
    async with world.database.reading() as session:
        return await vault.read(session, seal, world.tenant_id, name, org_id=org_id)


async def rows(world: World) -> list[Secret]:
    async with world.database.reading() as session:
        found = await session.scalars(select(Secret).where(Secret.tenant_id == world.tenant_id))
        return list(found.all())


async def test_a_secret_is_read_back_and_never_stored_in_clear(world: World) -> None:
    seal = Seal((OLD,))
    secret_id = await keep(world, seal, "stripe", VALUE)

    assert await read(world, seal, "stripe") == VALUE
    assert await read(world, seal, "none") is None
    (row,) = await rows(world)
    assert VALUE.encode() not in row.sealed
    (entry,) = await world.audited(secret_id)
    assert VALUE not in str(entry.details)


async def test_a_secret_is_replaced_and_forgotten(world: World) -> None:
    seal = Seal((OLD,))
    first = await keep(world, seal, "stripe", "a")
    assert await keep(world, seal, "stripe", "b") == first
    assert await read(world, seal, "stripe") == "b"
    for there in (True, False):
        async with world.database.writing() as session:
            gone = await vault.forget(session, world.tenant_id, "stripe", actor="ada", at_ms=0)
        assert gone == there
    assert await read(world, seal, "stripe") is None


async def test_an_orgs_secret_is_not_its_neighbours(world: World) -> None:
    seal = Seal((OLD,))
    await keep(world, seal, "crm", "mine", world.org_id)

    assert await read(world, seal, "crm", "org_other") is None
    assert await read(world, seal, "crm") is None
    assert await read(world, seal, "crm", world.org_id) == "mine"


async def test_keys_are_replaced_without_losing_a_secret(world: World) -> None:
    names = [f"secret-{number}" for number in range(5)]
    for name in names:
        await keep(world, Seal((OLD,)), name, name)
    both = Seal((NEW, OLD))
    assert await read(world, both, names[0]) == names[0]
    with pytest.raises(CannotOpen, match="RUNMETER_SECRETS_KEYS"):
        await read(world, Seal((NEW,)), names[0])

    told: list[int] = []
    resealer = Resealer(world.database, both, world.clock, told.append)
    assert [await resealer.turn(), await resealer.turn()] == [5, 0]

    assert told == [0, 0]
    assert [await read(world, Seal((NEW,)), name) for name in names] == names


async def test_a_secret_that_no_key_opens_holds_no_other_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resealing, "_BATCH", 2)
    lost = Seal((Fernet.generate_key().decode(),))
    for number in range(6):
        await keep(world, lost if number % 2 else Seal((OLD,)), f"secret-{number}", "value")
    told: list[int] = []

    assert await Resealer(world.database, Seal((NEW, OLD)), world.clock, told.append).turn() == 3

    assert told == [3]
    assert [await read(world, Seal((NEW,)), f"secret-{number}") for number in (0, 2, 4)] == ["value"] * 3
    assert await read(world, lost, "secret-1") == "value"


async def test_a_sealed_value_opens_in_its_own_row_only(world: World) -> None:
    seal = Seal((OLD,))
    await keep(world, seal, "a", "of a")
    await keep(world, seal, "b", "of b")
    async with world.database.writing() as session:
        found = (await session.scalars(select(Secret).where(Secret.tenant_id == world.tenant_id))).all()
        found[0].sealed, found[1].sealed = found[1].sealed, found[0].sealed

    with pytest.raises(CannotOpen, match="another row"):
        await read(world, seal, "a")


def test_without_a_setting_the_data_folder_has_a_key_of_its_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        seals = list(threads.map(lambda _: load_seal(SecretsSettings(), tmp_path / "new"), range(8)))

    assert len({seal.fingerprint for seal in seals}) == 1
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["secrets.key"]
    assert stat.S_IMODE((tmp_path / "new" / "secrets.key").stat().st_mode) == 0o600


def test_keys_that_are_none_stop_the_process_with_the_variable() -> None:
    with pytest.raises(SystemExit, match="RUNMETER_SECRETS_KEYS"):
        load_seal(SecretsSettings(keys=SecretStr("not a key")), Path())
