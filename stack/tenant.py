"""`runmeter tenant`: a marketplace of one's own, with its prices, and tokens for its services.

An installation begins with none, and nobody signs in to a tenant that is not there. What is written here goes
through the outbox like any other change: the console API, running already or started later, sends it on.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from datetime import UTC, datetime
from typing import get_args

import msgspec
from asyncpg.exceptions import PostgresError
from redis.exceptions import RedisError
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from console_api.control.directory import prices
from console_api.control.directory import service as directory
from console_api.database.engine import Database, connect
from console_api.database.migrate import migrate
from console_api.database.tables import Org, Tenant
from kit import api_keys, clock, redis_client
from kit.settings import DatabaseSettings, RedisSettings, StackSettings, load
from metering.catalog import list_price_book
from metering.price_schedule import version_at
from schemas import keys
from schemas.directory import AccessTokenRecord, Role
from stack.errors import StackError

_ACTOR = "runmeter tenant"
_MAX_MARKUP_PERCENT = 10_000
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_decoder = msgspec.json.Decoder(AccessTokenRecord)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    actions = parser.add_subparsers(dest="action", required=True)
    add = actions.add_parser("add", help="make a tenant, priced by the list; doing it again changes nothing")
    add.add_argument(
        "tenant",
        type=tenant_id,
        metavar="ID",
        help="as RUNMETER_OIDC_TENANT_ID or the tokens' claim names it",
    )
    add.add_argument("--name", required=True, help="what people call it")
    add.add_argument(
        "--markup", type=_percent, default=0, metavar="PERCENT", help="on top of list prices; 0 by default"
    )
    actions.add_parser("list", help="the tenants, and the prices that hold now")
    token = actions.add_parser("token", help="make an access token for a service; it is shown once")
    token.add_argument("tenant", metavar="ID")
    token.add_argument("--subject", required=True, help="what the audit log calls its bearer")
    token.add_argument("--role", choices=get_args(Role), default="operator", help="operator by default")
    token.add_argument("--org", default="", help="of one org; without it, of the whole tenant")
    revoke = actions.add_parser("revoke", help="take back all tokens of a subject")
    revoke.add_argument("tenant", metavar="ID")
    revoke.add_argument("--subject", required=True)


def tenant_id(text: str) -> str:
    """Return the id. Raises `ArgumentTypeError` for what cannot be one."""
    if not _ID.fullmatch(text):
        raise argparse.ArgumentTypeError("give 1 to 128 letters, digits, dots, dashes or underscores")
    return text


def _percent(text: str) -> int:
    if not text.isdecimal() or int(text) > _MAX_MARKUP_PERCENT:
        raise argparse.ArgumentTypeError(f"give whole percent from 0 to {_MAX_MARKUP_PERCENT:,}")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Do it, and say what was done."""
    try:
        print(asyncio.run(_done(args)))
    except (SQLAlchemyError, PostgresError, OSError) as error:
        raise StackError(f"the database did not answer, see RUNMETER_DATABASE_URL: {error}") from error
    except RedisError as error:
        raise StackError(f"Valkey did not answer, see RUNMETER_REDIS_URL: {error}") from error
    return 0


async def _done(args: argparse.Namespace) -> str:
    database = connect(load(DatabaseSettings), load(StackSettings).data_dir)
    try:
        await migrate(database)
        match args.action:
            case "add":
                return await add(database, args.tenant, args.name, args.markup)
            case "list":
                return await listed(database)
            case "token":
                return await token(database, args)
            case _:
                return await revoke(args.tenant, args.subject)
    finally:
        await database.close()


async def add(database: Database, tenant: str, name: str, markup: int) -> str:
    """Make a tenant whose runs cost list prices with a mark-up. One that has prices keeps them."""
    name = name.strip()
    if not 0 < len(name) <= 256:
        raise StackError("give --name 1 to 256 characters")
    now = clock.now_ms()
    try:
        book = list_price_book(datetime.now(UTC), markup)
    except msgspec.ValidationError as error:
        raise StackError(f"--markup {markup} takes a price over the cap: {error}") from error
    async with database.writing() as session:
        new = await session.get(Tenant, tenant) is None
        await directory.ensure_tenant(session, tenant, name, now)
        schedule = await prices.scheduled(session, tenant)
        if schedule.entries:
            return f"{tenant} is there, and has prices: its operators change them in the console"
        await prices.publish_book(session, tenant, book, actor=_ACTOR, at_ms=now)
        await prices.schedule_book(session, tenant, book.version, 0, actor=_ACTOR, at_ms=now)
    return f"{tenant} {'made' if new else 'was there'}; its runs are priced by {book.version}"


async def listed(database: Database) -> str:
    """Return a line for each tenant: id, status, name, and the book that prices its runs now."""
    now, lines = clock.now_ms(), []
    async with database.reading() as session:
        for row in (await session.scalars(select(Tenant).order_by(Tenant.tenant_id))).all():
            version = version_at(await prices.scheduled(session, row.tenant_id), now)
            lines.append(f"{row.tenant_id:24} {row.status:10} {version or 'no prices':24} {row.name}")
    return "\n".join(lines) or "there is no tenant yet: make one with `runmeter tenant add`"


async def token(database: Database, args: argparse.Namespace) -> str:
    """Return a new token, of which only the digest is kept. `StackError`: there is no such tenant or org."""
    if (args.role == "operator") == bool(args.org):
        raise StackError("an operator's token is the whole tenant's: give --org with another --role only")
    async with database.reading() as session:
        if await session.get(Tenant, args.tenant) is None:
            raise StackError(f"there is no tenant {args.tenant!r}; `runmeter tenant list` shows them")
        org = await session.get(Org, args.org) if args.org else None
    if args.org and (org is None or org.tenant_id != args.tenant):
        raise StackError(f"{args.tenant} has no org {args.org!r}")
    record = AccessTokenRecord(subject=args.subject, tenant_id=args.tenant, org_id=args.org, role=args.role)
    minted = api_keys.mint("at")
    redis = redis_client.connect(load(RedisSettings))
    try:
        await redis.set(keys.access_token(minted.digest), msgspec.json.encode(record))
    finally:
        await redis.aclose()
    return minted.key


async def revoke(tenant: str, subject: str) -> str:
    """Forget all tokens of a subject, and say how many those were."""
    redis, found = redis_client.connect(load(RedisSettings)), 0
    try:
        async for key in redis.scan_iter(match=keys.access_token("*"), count=1_000):
            raw = await redis.get(key)
            record = _decoder.decode(raw) if raw else None
            if record is not None and (record.tenant_id, record.subject) == (tenant, subject):
                found += int(await redis.delete(key))
    finally:
        await redis.aclose()
    return f"{found} tokens of {subject} taken back"
