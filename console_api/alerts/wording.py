"""What an alert says: a title and a few sentences, made of its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

from console_api.alerts.kinds import AlertKind
from console_api.money import credits_of

Details = Mapping[str, Any]


@dataclass(frozen=True)
class Said:
    """An alert for people; `path` is where in the console to go on."""

    title: str
    text: str
    path: str = "/account/wallet"


def said(kind: AlertKind, details: Details) -> Said:
    """Return what people are told."""
    return _WORDINGS[kind](details)


def as_text(told: Said, org_name: str, console_url: str) -> str:
    """Return a message in plain text."""
    link = f"\n\n{console_url.rstrip('/')}{told.path}" if console_url else ""
    return f"{told.title}\n\n{told.text}{link}\n\n{_footer(org_name)}\n"


def as_html(told: Said, org_name: str, console_url: str) -> str:
    """Return the same as HTML; whatever people named is escaped."""
    url = f"{console_url.rstrip('/')}{told.path}"
    link = f'<p><a href="{escape(url)}">Open the console</a></p>' if console_url else ""
    return (
        '<!doctype html><html lang="en"><body style="font-family:sans-serif;line-height:1.5">'
        f'<h1 style="font-size:18px">{escape(told.title)}</h1><p>{escape(told.text)}</p>{link}'
        f'<p style="color:#5b6475;font-size:13px">{escape(_footer(org_name))}</p></body></html>'
    )


def _footer(org_name: str) -> str:
    return f"You get this because of the alerts that are set up for {org_name}, under Wallet in the console."


def _credits(details: Details) -> Said:
    percent, left = details["used_permille"] // 10, details["limit_micro"] - details["used_micro"]
    if percent >= 100:
        text = (
            "All credits that your organisation had are used. Runs are refused, or go on into debt, as your "
            "plan has it. Add credits to go on."
        )
        return Said("Your credits are used up", text)
    return Said(
        f"{percent} % of your credits are used",
        f"{_amount(details['used_micro'])} of {_amount(details['limit_micro'])} credits are used since "
        f"credits were last added; {_amount(left)} are left.",
    )


def _cap(details: Details) -> Said:
    percent, name = details["used_permille"] // 10, details["instance"]
    window = "daily" if details["scope"] == "instance_day" else "monthly"
    after = " Further runs are refused until the period ends, or the cap is raised." if percent >= 100 else ""
    return Said(
        f"{name}: {percent} % of the {window} cap is used",
        f"{name} used {_amount(details['used_micro'])} of the {_amount(details['limit_micro'])} credits of "
        f"its {window} cap (UTC).{after}",
        f"/account/instances/{details['instance_id']}/usage",
    )


def _anomaly(details: Details) -> Said:
    name, began = details["instance"], _moment(details["hour_ms"])
    return Said(
        f"{name} spends unusually much",
        f"In the hour from {began} it used {_amount(details['spent_micro'])} credits; at that time "
        f"usually {_amount(details['usual_micro'])}, and up to {_amount(details['bound_micro'])} would "
        "not stand out. If you do not know why, look at its keys and origins.",
        f"/account/instances/{details['instance_id']}/usage",
    )


def _forecast(details: Details) -> Said:
    return Said(
        "Your credits run out soon",
        f"{_amount(details['available_micro'])} credits are available and "
        f"{_amount(details['per_day_micro'])} are used a day, so they last until about "
        f"{_moment(details['ends_at_ms'])}. Expiries are counted in.",
    )


def _payment(details: Details) -> Said:
    match details["what"]:
        case "topup_declined":
            told = Said(
                "An automatic top-up was declined",
                f"The payment was declined: {details['reason']}. It is tried again; "
                "check the payment method.",
            )
        case "topup_off":
            told = Said(
                "Automatic top-up is switched off",
                f"It was declined too often: {details['reason']}. No more credits are bought by themselves.",
            )
        case "topup_disputed":
            told = Said(
                "Automatic top-up is switched off",
                "A payment was disputed. No more credits are bought by themselves, "
                "until it is switched on again.",
            )
        case "surplus":
            told = Said(
                "A payment bought nothing",
                f"{details['amount_minor']} {details['currency']} (minor units) were paid, but the "
                f"{details['of']} was paid already or has ended. Ask the marketplace to return payment "
                f"{details['payment_id']}.",
                "/account/orders",
            )
        case "not_stopped":
            told = Said(
                "A subscription that ended may still be charged",
                f"Its payment provider could not be told: {details['reason']}. Cancel the subscription "
                "again, or end it in the provider's own pages.",
                "/account/orders",
            )
        case "paused":
            told = Said(
                "A subscription is paused",
                "Its payment is still missing, so its instance is suspended until it is paid.",
                "/account/orders",
            )
        case _:
            told = Said(
                "A subscription's payment is missing",
                "Its instance goes on running for now. Check the payment method, or pay the open invoice.",
                "/account/orders",
            )
    return told


def _amount(micro: int) -> str:
    """Return credits without needless zeros: 12.5, not 12.500000."""
    whole, _, rest = credits_of(abs(micro)).partition(".")
    return f"{'-' if micro < 0 else ''}{int(whole):,}.{rest}".rstrip("0").rstrip(".")


def _moment(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


_WORDINGS: Mapping[AlertKind, Callable[[Details], Said]] = {
    "credits": _credits,
    "cap": _cap,
    "anomaly": _anomaly,
    "forecast": _forecast,
    "payment": _payment,
}
