"""The calculator: right where it answers, and never long at it."""

from __future__ import annotations

import pytest

from runner.calculator import CannotCalculate, calculate

_WORST = [
    "4000000**4000000",
    "*".join(["2**2000"] * 20),
    "9**9**9**9",
    "(2**2000)**(2**2000)",
    "1<<2000<<2000<<2000",
    "(2**2000)<<(2**2000)",
    "round(2**2000, -10**9)",
    "f'{1:>9999999999}'",
    "'a'*10**9",
]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("(3 + 4) * 12.5", "87.5"),
        ("2**10", "1024"),
        ("2**-1", "0.5"),
        ("2**0.5", "1.4142135623730951"),
        ("(-1)**1000000000", "1"),
        ("7 // 2 + 7 % 2", "4"),
        ("1 << 10", "1024"),
        ("round(2.25, 1) + round(2.5)", "4.2"),
        ("-" * 199 + "1", "-1"),
        ("round(1234, -2)", "1200"),
        ("max(1, 2, abs(-3))", "3"),
        ("1 if 2 > 1 and not 1 == 2 else 0", "1"),
    ],
)
def test_arithmetic_has_a_value(expression: str, value: str) -> None:
    assert calculate(expression) == value


@pytest.mark.parametrize("expression", _WORST)
def test_what_would_be_large_is_refused_before_it_is_computed(expression: str) -> None:
    with pytest.raises(CannotCalculate):
        calculate(expression)
