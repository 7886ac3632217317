"""`runmeter warehouse`: the history's schema, and who may read it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import date, timedelta

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from kit import clickhouse_client
from kit.settings import ClickHouseSettings
from stack import reconcile
from stack.errors import StackError
from streams.warehouse import grants, inspecting, migrate, rollups
from streams.warehouse.migrate import MigrationChanged, migrations

FINE, DIFFERENT = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("status", help="list the migrations and how they stand")
    actions.add_parser("dry-run", help="print the SQL of what is missing")
    actions.add_parser("apply", help="apply what is missing")
    actions.add_parser("verify", help="compare tables and views with what the code expects; 1: they differ")
    rebuild = actions.add_parser("rebuild", help="compute usage by minute, hour and day anew from the runs")
    rebuild.add_argument("first", type=date.fromisoformat, metavar="DAY", help="the first day (UTC)")
    rebuild.add_argument("last", type=date.fromisoformat, metavar="LAST", nargs="?", help="the last day")
    rebuild.add_argument("--dry-run", action="store_true", help="only list the days that differ; 1: some do")
    grant = actions.add_parser("grant", help="print the SQL that lets a tenant's analysts read their rows")
    grant.add_argument("tenant", help="the tenant's id")
    grant.add_argument("--user", default="", help="an existing ClickHouse user to give it to")
    grant.add_argument("--apply", action="store_true", help="run it, too; takes a server with users")


def run(args: argparse.Namespace) -> int:
    """Do it; 0: fine, 1: something differs."""
    settings = reconcile.settings()[2]
    try:
        if args.action == "apply":
            migrate.bring_up_to_date(settings)
            return FINE
        client = clickhouse_client.connect_sync(settings)
        try:
            if args.action == "grant":
                return grant(client, settings, args)
            if args.action == "rebuild":
                return rebuild(client, args.first, args.last or args.first, dry_run=args.dry_run)
            if args.action == "dry-run":
                return dry_run(client, settings.cluster)
            return _ACTIONS[args.action](client)
        finally:
            client.close()
    except MigrationChanged as error:
        raise StackError(str(error)) from error
    except (ClickHouseError, OSError) as error:
        raise StackError(f"ClickHouse refused, or could not be reached: {error}") from error


def status(client: Client) -> int:
    """Print each migration's state."""
    found = inspecting.states(client, migrations())
    for state in found:
        print(f"{state.state:8} {state.migration.name}")
    return FINE if all(state.state == "applied" for state in found) else DIFFERENT


def dry_run(client: Client, cluster: str = "") -> int:
    """Print the SQL of what is missing."""
    for state in inspecting.states(client, migrations()):
        if state.state == "missing":
            print(f"-- {state.migration.name}")
            print("".join(f"{statement};\n" for statement in state.migration.rendered(cluster)))
    return FINE


def verify(client: Client) -> int:
    """Print what is not as it should be."""
    found = inspecting.differences(client, migrations())
    print("\n".join(found) or "as expected")
    return DIFFERENT if found else FINE


def rebuild(client: Client, first: date, last: date, *, dry_run: bool) -> int:
    """Compute the rollups of these days anew, or say which of them are not as the runs are."""
    different = False
    for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
        if not dry_run:
            rollups.rebuild(client, day)
            print(f"{day} built anew")
        elif found := rollups.differences(client, day):
            different = True
            print(f"{day} {', '.join(found)}")
    return DIFFERENT if different else FINE


def grant(client: Client, settings: ClickHouseSettings, args: argparse.Namespace) -> int:
    """Print what gives a tenant's analysts access, and run it if that was asked for."""
    views = inspecting.views(migrations())
    for statement in grants.statements(settings.database, args.tenant, views, args.user, settings.cluster):
        print(f"{statement};")
        if args.apply:
            client.command(statement)
    return FINE


_ACTIONS: dict[str, Callable[[Client], int]] = {"status": status, "verify": verify}
