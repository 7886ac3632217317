"""From a URL's parameters to a question, within bounds.

Parameters have our names, or those of OpenMeter's `GET /api/v1/meters/{meterIdOrSlug}/query`, so that a
client of theirs works; `MeterQuery` in
https://github.com/openmeterio/openmeter/blob/main/api/spec/src/meters.tsp.
An unknown parameter is refused: a misspelt filter that is let through would be a wrong number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import cast, get_args

from console_api.meters import windows
from console_api.meters.models import (
    MAX_GROUP_BY,
    MAX_TOP,
    MAX_VALUE_LENGTH,
    MAX_VALUES,
    Format,
    Meter,
    MeterQuestion,
    Window,
)
from console_api.meters.statement import SUBJECT, dimensions
from console_api.times import range_of, zone
from kit.problems import InvalidRequest, Problem

_MONTH_MS = 30 * 86_400_000
_ALIASES = {
    "windowSize": "window",
    "windowTimeZone": "tz",
    "groupBy": "group_by",
    "subject": f"filter[{SUBJECT}]",
    "filter[subject]": f"filter[{SUBJECT}]",
}
_KNOWN = ("from", "to", "window", "tz", "group_by", "top_n", "compare", "format")
#: Theirs, to follow a query's progress. Answers here come at once or not at all.
_WITHOUT_EFFECT = ("clientId",)
_FILTER = re.compile(r"filter\[([a-z][a-z0-9_]{0,63})\]")
_MANY = ("group_by",)

MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}


class NotAcceptable(Problem):
    status, code, title = 406, "not_acceptable", "No answer in that form"


def form_of(asked: str | None, accept: str) -> Format:
    """Return the answer's form: `format=`, else the first that `Accept` names. Raises `NotAcceptable`."""
    if asked is not None:
        return cast(Format, _one_of("format", asked, get_args(Format)))
    wanted = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    for media_type in wanted:
        if media_type in ("", "*/*", "application/*"):
            return "json"
        for form, name in MEDIA_TYPES.items():
            if media_type in (name, name.partition("/")[0] + "/*"):
                return form
    raise NotAcceptable(f"Accept one of {', '.join(MEDIA_TYPES.values())}, or send `format`.")


def question_of(meter: Meter, parameters: Iterable[tuple[str, str]], now_ms: int) -> MeterQuestion:
    """Return what was asked of a meter. Raises `InvalidRequest`, naming the parameter."""
    single, group_by, filters = _sorted(parameters)
    tz = zone(single.get("tz", "UTC"))
    known = dimensions(meter)
    for name in (*group_by, *filters):
        if name not in known:
            where = "group_by" if name in group_by else f"filter[{name}]"
            names = ", ".join(known)
            raise InvalidRequest(f"{where}: {meter.slug} has no {name!r}; it has {names}.", allowed=[*known])
    if len(group_by) > MAX_GROUP_BY:
        raise InvalidRequest(f"group_by: at most {MAX_GROUP_BY} names; leave some out.")
    question = MeterQuestion(
        span=range_of(single.get("from"), single.get("to"), _MONTH_MS, now_ms, tz),
        window=_window(single.get("window")),
        tz=tz,
        group_by=tuple(group_by),
        filters={name: tuple(found) for name, found in filters.items()},
        top_n=_top_n(single.get("top_n"), group_by),
        compare=single.get("compare") is not None,
    )
    if question.compare:
        _one_of("compare", single["compare"], ("previous",))
    windows.check(question)
    return question


def _sorted(
    parameters: Iterable[tuple[str, str]],
) -> tuple[dict[str, str], list[str], dict[str, list[str]]]:
    single: dict[str, str] = {}
    group_by: list[str] = []
    filters: dict[str, list[str]] = {}
    for given, value in parameters:
        name = given.replace("filterGroupBy[", "filter[", 1)
        name = _ALIASES.get(name, name)
        if given in _WITHOUT_EFFECT:
            continue
        if len(value) > MAX_VALUE_LENGTH or "\x00" in value:
            raise InvalidRequest(f"{given}: at most {MAX_VALUE_LENGTH} characters, and no zero byte.")
        if name in _MANY:
            group_by += (SUBJECT if part == "subject" else part for part in value.split(",") if part)
        elif found := _FILTER.fullmatch(name):
            filters.setdefault(found[1], []).append(value)
        elif name not in _KNOWN:
            allowed = [*_KNOWN, "filter[…]"]
            raise InvalidRequest(f"{given[:80]}: no such parameter; there are {', '.join(allowed)}.")
        elif name in single:
            raise InvalidRequest(f"{given}: send it once.")
        else:
            single[name] = value
    if any(len(found) > MAX_VALUES for found in filters.values()) or len(filters) > MAX_GROUP_BY:
        raise InvalidRequest(f"filter: at most {MAX_GROUP_BY} filters of {MAX_VALUES} values each.")
    return single, list(dict.fromkeys(group_by)), filters


def _window(asked: str | None) -> Window | None:
    # Theirs are written in capitals.
    return None if asked is None else cast(Window, _one_of("window", asked.lower(), get_args(Window)))


def _top_n(asked: str | None, group_by: list[str]) -> int | None:
    if asked is None:
        return None
    if not group_by:
        raise InvalidRequest("top_n: of which groups? Send `group_by`, too.")
    if not (asked.isascii() and asked.isdecimal() and len(asked) < 6 and 1 <= int(asked) <= MAX_TOP):
        raise InvalidRequest(f"top_n: a number from 1 to {MAX_TOP}.")
    return int(asked)


def _one_of(name: str, asked: str, allowed: tuple[str, ...]) -> str:
    if asked not in allowed:
        raise InvalidRequest(f"{name}: {asked[:80]!r} is none of {', '.join(allowed)}.", allowed=[*allowed])
    return asked
