"""Numbers as people write them where they live; colours that can be read."""

from __future__ import annotations

import re

import pytest

from console import theme
from console.components import sparkline
from console.formats import Locale, major_of, minor_of
from console.pages.instance.branding import ink_on


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("en-US,en;q=0.9", "1,234,567"),
        ("de-DE,de;q=0.9,en;q=0.8", "1.234.567"),
        ("fr", "1\u202f234\u202f567"),
        ("de-CH", "1\u2019234\u2019567"),
        ("", "1,234,567"),
        ("*", "1,234,567"),
        ("<script>", "1,234,567"),
    ],
)
def test_integers_in_the_visitors_locale(header: str, expected: str) -> None:
    assert Locale.from_header(header).integer(1_234_567) == expected


def test_a_tag_that_is_none_is_not_repeated() -> None:
    assert Locale.from_header("<script>alert(1)</script>").tag == "en"


@pytest.mark.parametrize(
    ("micro", "expected"),
    [(0, "0.00"), (1_250_000, "1.25"), (123, "0.0001"), (999_999, "0.9999"), (-2_500_000, "\u22122.50")],
)
def test_credits(micro: int, expected: str) -> None:
    assert Locale("en").credits(micro) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(999_999, "999,999"), (1_370_000, "1.37M"), (12_345_678, "12.3M"), (2 * 10**9, "2.00B")],
)
def test_compact(value: int, expected: str) -> None:
    assert Locale("en").compact(value) == expected


def test_a_sparkline_of_nothing_is_flat() -> None:
    assert sparkline.svg([0, 0], "none").count("rm-spark__rest") == 2


_TEXT_ON = [
    ("ink", "page"),
    ("ink", "surface"),
    ("muted", "page"),
    ("muted", "surface"),
    ("brand", "page"),
    ("brand", "surface"),
    ("on-brand", "brand"),
    ("bad", "surface"),
    *((tone, f"{tone}-soft") for tone in ("good", "warn", "bad", "brand")),
    ("muted", "raised"),
    ("on-danger", "danger"),
    ("page", "ink"),
    ("muted", "sidebar-page"),
    ("ink", "code"),
]
_GRAPHICS_ON = [(f"chart-{number}", "surface") for number in range(1, 6)] + [("control", "surface")]


@pytest.mark.parametrize("tokens", [theme.LIGHT, theme.DARK], ids=["light", "dark"])
def test_contrast_is_aa(tokens: dict[str, str]) -> None:
    for pairs, least in ((_TEXT_ON, 4.5), (_GRAPHICS_ON, 3.0)):
        for front, back in pairs:
            ratio = _contrast(tokens[front], tokens[back])
            assert ratio >= least, f"{front} on {back}: {ratio:.2f}"


def test_light_and_dark_name_the_same_tokens() -> None:
    assert theme.LIGHT.keys() == theme.DARK.keys()


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: str) -> float:
    channels = [int(part, 16) / 255 for part in re.findall("[0-9a-f]{2}", color)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(
    ("micro", "places", "expected"),
    [
        (0, 2, "0.00"),
        (1, 2, "0.000001"),
        (1_250_000, 2, "1.25"),
        (1_250_000, 6, "1.250000"),
        (-2_985, 2, "\u22120.002985"),
        (1_234_567_000_001, 2, "1,234,567.000001"),
    ],
)
def test_exact_credits_hide_nothing(micro: int, places: int, expected: str) -> None:
    assert Locale("en").exact_credits(micro, places) == expected


@pytest.mark.parametrize(
    ("colour", "ink"), [("#4f46e5", "#ffffff"), ("#ffd400", "#161b26"), ("#ffffff", "#161b26")]
)
def test_text_on_a_brand_colour_can_be_read(colour: str, ink: str) -> None:
    assert ink_on(colour) == ink


@pytest.mark.parametrize(
    ("currency", "minor", "major", "shown"),
    [
        ("usd", 1_900, 19.0, "$19.00"),
        ("jpy", 1_900, 1_900.0, "JPY\u00a01,900"),
        ("KRW", 5, 5.0, "KRW\u00a05"),
    ],
)
def test_money_in_minor_units_and_as_people_say_it(
    currency: str, minor: int, major: float, shown: str
) -> None:
    assert (minor_of(major, currency), major_of(minor, currency)) == (minor, major)
    assert Locale("en").money(minor, currency) == shown
