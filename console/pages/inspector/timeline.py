"""What a run did, in order of time."""

from __future__ import annotations

from dataclasses import dataclass

from console.calls.inspection import BillCorrection, Inspection, ModelCall, ToolUse
from console.components.short_id import short_id
from console.components.status import said, tone_of
from console.components.text import Text, box, when
from console.formats import Locale
from console.pages.inspector.bill import KINDS

#: Who counted a call's tokens.
_SOURCES = {
    "provider": ("Counted by the provider", "good"),
    "estimate": ("Estimated", "warn"),
    "partial": ("Counted in part", "warn"),
}
_TOOL_TONES = {"ok": "good", "error": "bad", "timeout": "bad"}


@dataclass(frozen=True)
class _Moment:
    """Something that happened; without a time its event is still on its way."""

    at_ms: int | None
    title: str
    detail: str = ""
    tone: str = ""
    reference: str = ""
    badge: tuple[str, str] = ("", "")
    testid: str = ""


def draw(found: Inspection, shown: Locale) -> None:
    """Draw the timeline."""
    began = found.run.started_at_ms
    with box("ol", "rm-timeline", testid="timeline"):
        for moment in _moments(found, shown):
            _draw_moment(moment, began, shown)


def _moments(found: Inspection, shown: Locale) -> list[_Moment]:
    run = found.run
    happened = [
        *(_call(one, shown) for one in found.calls),
        *(_tool(one, shown) for one in found.tool_calls),
    ]
    happened.sort(key=lambda moment: float("inf") if moment.at_ms is None else moment.at_ms)
    began = _Moment(run.started_at_ms, "Admitted", f"Over {run.channel}, for {run.model}.")
    if run.status == "started":
        end = [_Moment(None, "Running", "Its end is not known yet.", "brand")]
    else:
        why = f"Error: {run.error_code}." if run.error_code else ""
        end = [_Moment(run.closed_at_ms, said(run.status), why, tone_of(run.status))]
        words = f"{shown.exact_credits(run.credits_micro)} credits, prices {run.price_version}."
        end.append(_Moment(None, "Charged", words, testid="charged"))
    corrections = [_correction(one, shown) for one in found.bill.corrections]
    return [began, *happened, *end[:1], *corrections, *end[1:]]


def _call(one: ModelCall, shown: Locale) -> _Moment:
    cached = [
        f"{shown.integer(count)} {how}"
        for count, how in ((one.cache_read, "read from cache"), (one.cache_write, "written to cache"))
        if count
    ]
    tokens_in = f"{shown.integer(one.tokens_in)} tokens in" + (f" ({', '.join(cached)})" if cached else "")
    reasoning = f" ({shown.integer(one.reasoning)} of them reasoning)" if one.reasoning else ""
    grown = f" Reported {one.reports} times while it grew." if one.reports > 1 else ""
    return _Moment(
        one.last_at_ms,
        f"Model call {one.step}: {one.model}",
        f"{tokens_in}, {shown.integer(one.tokens_out)} out{reasoning}.{grown}",
        reference=one.call_id,
        badge=_SOURCES.get(one.source, (said(one.source), "muted")),
        testid="model-call",
    )


def _tool(one: ToolUse, shown: Locale) -> _Moment:
    return _Moment(
        one.ended_at_ms,
        f"Tool call {one.step}: {one.tool}",
        f"Took {shown.duration(one.duration_ms)}.",
        "bad" if one.status != "ok" else "",
        reference=one.tool_call_id,
        badge=("OK" if one.status == "ok" else said(one.status), _TOOL_TONES.get(one.status, "muted")),
        testid="tool-call",
    )


def _correction(one: BillCorrection, shown: Locale) -> _Moment:
    return _Moment(
        one.occurred_at_ms,
        f"Corrected: {KINDS.get(one.kind, one.kind).lower()}",
        f"{shown.exact_credits(one.amount_micro)} credits. {one.reason}".strip(),
        "warn",
        reference=one.request_id,
        testid="correction",
    )


def _draw_moment(moment: _Moment, began_ms: int, shown: Locale) -> None:
    with box("li", testid=moment.testid) as item:
        if moment.tone:
            item.props["data-tone"] = moment.tone
        with box("div", "rm-row rm-row--tight"):
            Text("h3", moment.title)
            text, tone = moment.badge
            if text:
                Text("span", text, f"rm-badge rm-badge--{tone}")
        if moment.detail:
            Text("p", moment.detail, "rm-muted rm-small")
        with box("p", "rm-row rm-row--tight rm-muted rm-small"):
            if moment.at_ms:
                when(moment.at_ms)
                if moment.at_ms > began_ms:
                    Text("span", f"+{shown.duration(moment.at_ms - began_ms)}")
            elif moment.reference:
                Text("span", "On its way to history")
            if moment.reference:
                short_id(moment.reference)
