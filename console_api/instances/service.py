"""Which instances a caller may see, and what they are doing."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path

from console_api import cursors
from console_api.auth.models import Principal
from console_api.auth.service import PrincipalDep
from console_api.counters import Wallet
from console_api.instances import repository
from console_api.instances.models import (
    SPARK_MINUTES,
    SPARK_POINTS,
    InstanceCounters,
    InstanceDetail,
    InstancePage,
    InstanceSummary,
    SparkPoint,
)
from console_api.money import credits_of
from console_api.stores import Stores, StoresDep
from console_api.totals import Totals, wire_totals
from console_api.wallet import repository as wallets
from kit.problems import NotFound
from metering.totals import CHARGED, COUNTERS
from metering.windows import WIDTH_MS, start_of
from schemas.directory import InstanceRecord

_STARTED = COUNTERS.index("started")
_TOKENS = (COUNTERS.index("tokens_in"), COUNTERS.index("tokens_out"))

InstanceId = Annotated[str, Path(min_length=1, max_length=128, examples=["inst_1"])]


async def _own_instance(
    instance_id: InstanceId, stores: StoresDep, principal: PrincipalDep
) -> InstanceRecord:
    """Return the instance if it is the caller's; a foreign one is not told from one that does not exist."""
    found = await repository.record(stores, instance_id)
    if found is None or not _may_see(principal, found):
        raise NotFound("There is no such instance in your org; list yours at /api/v1/account/instances.")
    return found


#: The instance of the path, checked against the caller. Every instance endpoint takes it.
OwnInstanceDep = Annotated[InstanceRecord, Depends(_own_instance)]


def _may_see(principal: Principal, item: InstanceRecord) -> bool:
    return item.tenant_id == principal.tenant_id and principal.org_id in ("", item.org_id)


async def page(
    stores: Stores, principal: Principal, search: str, limit: int, cursor: str | None
) -> InstancePage:
    """Return a page of the caller's instances by name; `search` matches a part of the name or the id."""
    wanted = search.strip().casefold()
    everything = await repository.records_of_org(stores, principal.org_id)
    matching = [
        item
        for item in everything
        if _may_see(principal, item)
        and (wanted in item.name.casefold() or wanted in item.instance_id.casefold())
    ]
    matching.sort(key=_place)
    after = cursors.decode(cursor, tuple[str, str]) if cursor else ("", "")
    rest = [item for item in matching if _place(item) > after]
    shown = rest[:limit]
    wallet = await wallets.read(stores, principal.org_id)
    counted = await repository.counters(stores, shown, _spark_minutes(stores.clock()))
    return InstancePage(
        instances=[_summary(item, wallet) for item in counted],
        total=len(matching),
        next_cursor=cursors.encode(_place(shown[-1])) if len(rest) > limit else None,
    )


def _place(item: InstanceRecord) -> tuple[str, str]:
    return item.name.casefold(), item.instance_id


async def detail(stores: Stores, item: InstanceRecord) -> InstanceDetail:
    """Return one instance with its configuration and live totals."""
    wallet = await wallets.read(stores, item.org_id)
    (counted,) = await repository.counters(stores, [item], _spark_minutes(stores.clock()))
    return InstanceDetail(
        **_summary(counted, wallet).model_dump(),
        org_id=item.org_id,
        models=list(item.models),
        tools=list(item.tools),
        greeting=item.greeting,
        max_output_tokens=item.max_output_tokens,
    )


def _spark_minutes(now: int) -> list[int]:
    """Return the starts of the sparkline's minutes: its last five-minute point holds the current one."""
    width = WIDTH_MS["minute"]
    point = width * SPARK_MINUTES
    first = start_of("minute", now) // point * point - (SPARK_POINTS - 1) * point
    return [first + at * width for at in range(SPARK_POINTS * SPARK_MINUTES)]


def _summary(item: InstanceCounters, wallet: Wallet) -> InstanceSummary:
    record = item.record
    return InstanceSummary(
        instance_id=record.instance_id,
        name=record.name,
        status=record.status,
        suspended_for=list(record.suspended_for),
        default_model=record.default_model,
        created_at_ms=record.created_at_ms,
        totals=Totals.model_validate(wire_totals(item.totals)),
        last_hour=_spark(item),
        credits_left=credits_of(wallet.available),
        credits_left_micro=wallet.available,
    )


def _spark(item: InstanceCounters) -> list[SparkPoint]:
    points = []
    for at in range(0, len(item.minutes), SPARK_MINUTES):
        part = item.minutes[at : at + SPARK_MINUTES]
        points.append(
            SparkPoint(
                start_ms=item.starts[at],
                started=sum(minute[_STARTED] for minute in part),
                tokens=sum(minute[index] for minute in part for index in _TOKENS),
                credits_micro=sum(minute[CHARGED] for minute in part),
            )
        )
    return points
