"""Does a symbolic residual vanish?"""

from __future__ import annotations

from typing import Any

import sympy
from sympy.core.function import AppliedUndef

__all__ = ["residual"]

# Where a residual is tried before it is simplified: positive, unequal, and integers where a symbol wants one.
POINTS = (sympy.Integer(3), sympy.Integer(7), sympy.Integer(5), sympy.Integer(13), sympy.Integer(11))


def residual(value: Any) -> Any:
    """What is left of an identity: 0 where it holds for all values of its symbols.

    Parameters
    ----------
    value: an expression or a matrix that should vanish, or a pair (left, right) of them.

    A residual that does not vanish is returned as it is, or simplified where no point shows at once that it differs
    from zero; of a matrix, its first entry that does not vanish.
    """
    if isinstance(value, tuple):
        left, right = value
        value = left - right
    if isinstance(value, sympy.MatrixBase):
        return next((left for left in map(residual, value) if left != 0), 0)
    value = sympy.expand(sympy.sympify(value))
    return value if value == 0 or _differs(value) else sympy.simplify(value)


def _differs(value: sympy.Expr) -> bool:
    """Whether one point shows that an expression is not zero. Simplifying a broken identity can take minutes."""
    # An unknown function has no value at a point.
    if value.has(sympy.Derivative, sympy.Subs, AppliedUndef):
        return False
    symbols = sorted(value.free_symbols, key=str)
    place = {symbol: POINTS[i % len(POINTS)] + i // len(POINTS) for i, symbol in enumerate(symbols)}
    if any(symbol.is_positive is False or symbol.is_even for symbol in symbols):
        return False
    try:
        number = sympy.N(value.subs(place, simultaneous=True), 30)
    except (TypeError, ValueError, ZeroDivisionError):
        return False
    return bool(number.is_number and number.is_finite and abs(number) > sympy.Float("1e-12"))
