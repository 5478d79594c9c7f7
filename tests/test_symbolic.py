"""Residuals of symbolic identities."""

from __future__ import annotations

import pytest
import sympy as sp

from mmfusion.symbolic import residual

x, y = sp.symbols("x y", real=True)
n = sp.Symbol("n", positive=True, integer=True)
i, k = sp.symbols("i k", positive=True, integer=True)


@pytest.mark.parametrize(
    "value",
    [
        0,
        x - x,
        ((x + y) ** 2, x**2 + 2 * x * y + y**2),
        (sp.sin(x) ** 2 + sp.cos(x) ** 2, 1),
        (sp.sqrt(x**2), sp.Abs(x)),
        (sp.Sum(k, (k, 1, n)), n * (n + 1) / 2),
        (sp.Matrix([[x, 1], [0, y]]) * sp.Matrix([[1, 0], [0, 1]]), sp.Matrix([[x, 1], [0, y]])),
        (sp.diff(sp.Function("f")(x) ** 2, x), 2 * sp.Function("f")(x) * sp.Function("f")(x).diff(x)),
    ],
)
def test_identities_vanish(value) -> None:
    assert residual(value) == 0


@pytest.mark.parametrize(
    "value",
    [
        x,
        sp.Integer(1),
        ((x + y) ** 2, x**2 + y**2),
        (sp.sqrt(x**2), x),
        (x - 3) * (x - 7),
        (sp.Sum(k, (k, 1, n)), n**2 / 2),
        (sp.Matrix([[x, 1]]), sp.Matrix([[x, 2]])),
        (sp.Function("f")(x), sp.Function("g")(x)),
        sp.Function("f")(x).diff(x).subs(x, 2 * y),
        1 / (x - 3) - 1 / (y - 3),
        sp.Symbol("m", negative=True),
        sp.Symbol("e", even=True, positive=True) - 4,
        1e-9 * x,
    ],
)
def test_what_does_not_vanish_is_left(value) -> None:
    assert residual(value) != 0
