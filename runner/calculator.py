"""Arithmetic that a model asks for. It runs on the event loop, so nothing it takes may take long.

No timeout can end it: what would be large is refused before it is computed.
"""

from __future__ import annotations

import ast
import operator
from typing import Any

import simpleeval

_MAX_CHARS = 200
#: Of any whole number on the way to a result; some 1,200 digits.
_MAX_BITS = 4_096
_MAX_DECIMALS = 300
#: Neither texts nor names nor containers: nothing here can be long, or be anything but a number.
_NODES = (
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.IfExp,
    ast.Call,
    ast.Constant,
)


class CannotCalculate(Exception):
    """No arithmetic, or too much of it; the text says which."""


def calculate(expression: str) -> str:
    """Return an expression's value as a text. Raises `CannotCalculate`, at once."""
    if len(expression) > _MAX_CHARS:
        raise CannotCalculate(f"an expression has at most {_MAX_CHARS} characters")
    evaluator = simpleeval.SimpleEval(operators=_OPERATORS, functions=_FUNCTIONS, names={})
    evaluator.nodes = {kind: evaluator.nodes[kind] for kind in _NODES} | {ast.Constant: _number}
    try:
        return str(evaluator.eval(expression, ast.parse(expression.strip(), mode="eval").body))
    except CannotCalculate:
        raise
    except Exception as error:
        # Whatever an odd expression trips over, in the parser too, is for the model to read.
        raise CannotCalculate(f"cannot evaluate: {error or type(error).__name__}") from error


def _number(node: ast.Constant) -> int | float:
    if not isinstance(node.value, int | float):
        raise CannotCalculate("only numbers can be calculated with")
    return node.value


def _bits(*numbers: Any) -> int:
    """Return how many bits the product of these has, at most; fractions are of one size and do not count."""
    return sum(number.bit_length() for number in numbers if isinstance(number, int))


def _bounded(bits: int) -> None:
    if bits > _MAX_BITS:
        raise CannotCalculate("the numbers are too large to calculate with")


def _times(a: Any, b: Any) -> Any:
    _bounded(_bits(a, b))
    return a * b


def _power(a: Any, b: Any) -> Any:
    # A fraction, or a negative exponent, makes a fraction; so only whole numbers grow.
    if isinstance(a, int) and isinstance(b, int) and b > 0 and abs(a) > 1:
        _bounded(a.bit_length() * b)
    made = a**b
    if isinstance(made, complex):
        raise CannotCalculate("a root of a negative number is no real number")
    return made


def _shifted(a: int, b: int) -> int:
    _bounded(_bits(a) + b)
    return a << b


def _rounded(number: Any, decimals: int = 0) -> Any:
    if abs(decimals) > _MAX_DECIMALS:
        raise CannotCalculate(f"numbers are rounded to at most {_MAX_DECIMALS} decimals")
    return round(number, decimals) if decimals else round(number)


_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: _times,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
    ast.LShift: _shifted,
    ast.RShift: operator.rshift,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.Invert: operator.invert,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_FUNCTIONS = {"abs": abs, "min": min, "max": max, "round": _rounded}
