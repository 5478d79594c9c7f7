"""The ten digits as strokes of a pen, and how a hand varies them."""

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline

# Points that the pen passes, x to the right and y up in a box 0.6 wide and 1 high. A stroke is a list of smooth
# pieces; between two pieces the pen turns a corner, between two strokes it is lifted.
DIGITS: dict[int, list[list[list[tuple[float, float]]]]] = {
    0: [[[(0.34, 1.0), (0.10, 0.86), (0.02, 0.50), (0.10, 0.13), (0.30, 0.0), (0.50, 0.13), (0.58, 0.50),
          (0.50, 0.87), (0.34, 1.0)]]],
    1: [[[(0.12, 0.74), (0.26, 0.86), (0.36, 1.0)], [(0.36, 1.0), (0.36, 0.5), (0.36, 0.0)]]],
    2: [[[(0.04, 0.78), (0.16, 0.96), (0.36, 0.99), (0.53, 0.83), (0.48, 0.56), (0.25, 0.26), (0.02, 0.0)],
         [(0.02, 0.0), (0.30, 0.0), (0.58, 0.0)]]],
    3: [[[(0.05, 0.88), (0.22, 1.0), (0.46, 0.94), (0.51, 0.75), (0.40, 0.58), (0.22, 0.54)],
         [(0.22, 0.54), (0.46, 0.48), (0.57, 0.29), (0.47, 0.08), (0.25, 0.0), (0.03, 0.11)]]],
    4: [[[(0.36, 1.0), (0.19, 0.67), (0.02, 0.33)], [(0.02, 0.33), (0.30, 0.33), (0.58, 0.33)]],
        [[(0.42, 0.62), (0.42, 0.31), (0.42, 0.0)]]],
    5: [[[(0.12, 1.0), (0.10, 0.78), (0.08, 0.56)],
         [(0.08, 0.56), (0.30, 0.63), (0.52, 0.50), (0.57, 0.29), (0.45, 0.07), (0.22, 0.0), (0.03, 0.09)]],
        [[(0.12, 1.0), (0.32, 1.0), (0.53, 1.0)]]],
    6: [[[(0.47, 0.98), (0.24, 0.80), (0.08, 0.50), (0.05, 0.22), (0.18, 0.02), (0.40, 0.01), (0.55, 0.19),
          (0.51, 0.42), (0.31, 0.51), (0.09, 0.35)]]],
    7: [[[(0.03, 1.0), (0.30, 1.0), (0.57, 1.0)], [(0.57, 1.0), (0.36, 0.52), (0.20, 0.0)]]],
    8: [[[(0.50, 0.86), (0.30, 1.0), (0.10, 0.86), (0.18, 0.62), (0.42, 0.45), (0.56, 0.24), (0.43, 0.03),
          (0.17, 0.03), (0.04, 0.24), (0.19, 0.46), (0.44, 0.63), (0.50, 0.86)]]],
    9: [[[(0.53, 0.80), (0.38, 0.99), (0.15, 0.96), (0.05, 0.75), (0.16, 0.54), (0.38, 0.53), (0.53, 0.78)],
         [(0.53, 0.78), (0.52, 0.45), (0.44, 0.0)]]],
}  # fmt: skip
WIDTH = 0.6


def trace(digit: int, step: float | int) -> list[Float[np.ndarray, "points 2"]]:
    """The digit's strokes as points at most about ``step`` apart, in the box 0.6 x 1.

    Raises ``ValueError`` for anything but a digit.
    """
    if digit not in DIGITS:
        raise ValueError(f"a digit is a whole number from 0 to 9, got {digit!r}")
    strokes = []
    for stroke in DIGITS[digit]:
        pieces = []
        for number, piece in enumerate(stroke):
            knots = np.array(piece)
            chord = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
            count = max(3, int(np.ceil(1.05 * chord[-1] / step)) + 1)
            points = CubicSpline(chord, knots, bc_type="natural")(np.linspace(0, chord[-1], count))
            pieces.append(points if number == 0 else points[1:])
        strokes.append(np.concatenate(pieces))
    return strokes


def vary(
    strokes: list[np.ndarray], height: float | int, slant: float | int, turn: float | int, stretch: float | int
) -> list[Float[np.ndarray, "points 2"]]:
    """Strokes about the origin, ``height`` high (m), sheared by ``slant``, turned by ``turn`` (rad) and made
    ``stretch`` times as wide."""
    c, s = np.cos(turn), np.sin(turn)
    change = height * np.array([[c, -s], [s, c]]) @ np.array([[stretch, slant], [0.0, 1.0]])
    return [(stroke - (WIDTH / 2, 0.5)) @ change.T for stroke in strokes]
