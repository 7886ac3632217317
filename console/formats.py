"""Numbers and money in the visitor's locale.

The separators of the languages below are CLDR's; every other language gets English ones. The live page does
the same in the browser with `Intl`, from the same tag.
"""

from __future__ import annotations

from dataclasses import dataclass

_NARROW = "\u202f"
_NBSP = "\u00a0"
_POINT_GROUPS = ("de", "nl", "es", "it", "pt", "id", "tr", "da", "el", "hr", "sl", "ro", "vi")
_SPACE_GROUPS = ("nb", "no", "nn", "sv", "fi", "cs", "sk", "pl", "uk", "ru", "bg", "hu", "et", "lv", "lt")
_SEPARATORS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(_POINT_GROUPS, (".", ",")),
    **dict.fromkeys(_SPACE_GROUPS, (_NBSP, ",")),
    "fr": (_NARROW, ","),
    "de-ch": ("\u2019", "."),
    "de-at": (_NBSP, ","),
    "es-mx": (",", "."),
}
_UNITS = ((1_000_000_000, "B"), (1_000_000, "M"))
_MICRO = 1_000_000
_SYMBOLS = {"usd": "$", "eur": "\u20ac", "gbp": "\u00a3"}
#: Currencies without minor units.
_WHOLE_CURRENCIES = ("jpy", "krw", "clp", "vnd", "xaf", "xof")


@dataclass(frozen=True)
class Locale:
    """A language tag (BCP 47) and its separators."""

    tag: str
    group: str = ","
    decimal: str = "."

    @classmethod
    def from_header(cls, accept_language: str) -> Locale:
        """Return the locale of the first language an `Accept-Language` header names."""
        tag = accept_language.split(",", maxsplit=1)[0].split(";", maxsplit=1)[0].strip()
        if not tag or tag == "*" or len(tag) > 35 or not tag.replace("-", "").isalnum():
            return cls("en")
        lowered = tag.lower()
        group, decimal = _SEPARATORS.get(lowered) or _SEPARATORS.get(lowered.split("-")[0]) or (",", ".")
        return cls(tag, group, decimal)

    def integer(self, value: int) -> str:
        """Return a whole number with group separators."""
        return f"{value:,}".replace(",", self.group)

    def compact(self, value: int) -> str:
        """Return a number short: below a million in full, then to three digits with M or B."""
        for size, unit in _UNITS:
            if abs(value) >= size:
                scaled = value / size
                places = 2 if abs(scaled) < 10 else 1 if abs(scaled) < 100 else 0
                return f"{scaled:.{places}f}".replace(".", self.decimal) + unit
        return self.integer(value)

    def credits(self, micro: int) -> str:
        """Return micro-credits as credits: two decimals, more only where two would hide the amount."""
        places = 2 if micro % 10_000 == 0 or abs(micro) >= _MICRO else 4
        unit = 10 ** (6 - places)
        whole, rest = divmod(abs(micro) // unit, 10**places)
        sign = "\u2212" if micro < 0 else ""
        return f"{sign}{self.integer(whole)}{self.decimal}{rest:0{places}d}"

    def exact_credits(self, micro: int, places: int = 2) -> str:
        """Return micro-credits as credits, to the last of them; at least so many decimals."""
        whole, rest = divmod(abs(micro), _MICRO)
        decimals = f"{rest:06d}".rstrip("0").ljust(places, "0")
        sign = "\u2212" if micro < 0 else ""
        return f"{sign}{self.integer(whole)}{self.decimal}{decimals}"

    def duration(self, ms: int) -> str:
        """Return a duration as people say it."""
        if ms < 1_000:
            return f"{self.integer(ms)} ms"
        return f"{ms / 1000:.1f}".replace(".", self.decimal) + " s"

    def money(self, minor: int, currency: str) -> str:
        """Return an amount of a currency's minor units, e.g. `USD 19.00`."""
        units = _minor_units(currency)
        whole, rest = divmod(abs(minor), units)
        amount = self.integer(whole) + (f"{self.decimal}{rest:02d}" if units > 1 else "")
        symbol = _SYMBOLS.get(currency.lower(), f"{currency.upper()}{_NBSP}")
        return f"{chr(0x2212) if minor < 0 else ''}{symbol}{amount}"

    def whole_credits(self, micro: int) -> str:
        """Return credits without decimals where there are none, as offers say them."""
        return self.integer(micro // _MICRO) if micro % _MICRO == 0 else self.credits(micro)


def minor_of(amount: float, currency: str) -> int:
    """Return an amount as people say it, e.g. 19.00 dollars or 1,900 yen, in the currency's minor units."""
    return round(amount * _minor_units(currency))


def major_of(minor: int, currency: str) -> float:
    """Return minor units as people say them."""
    return minor / _minor_units(currency)


def _minor_units(currency: str) -> int:
    return 1 if currency.lower() in _WHOLE_CURRENCIES else 100
