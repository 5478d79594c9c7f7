"""Ink on a board: a grid that remembers where a pen has pressed."""

import numpy as np
from jaxtyping import Float
from scipy.ndimage import uniform_filter


class Ink:
    """A square drawing about the centre of a flat face.

    Parameters
    ----------
    half : half the side of the drawing (m).
    cells : cells per side.
    width : width of the pen's stroke (m).
    colour : red, green, blue in [0, 1].

    ``cover`` (cells, cells) holds how much of each cell is inked, from 0 to 1; rows follow y, columns x.
    """

    def __init__(self, half: float | int, cells: int, width: float | int, colour: tuple):
        if not (half > 0 and cells >= 2 and width > 0):
            raise ValueError(f"ink needs positive sizes and at least 2 cells, got {half}, {cells}, {width}")
        self.half, self.colour = half, colour
        self.cell = 2 * half / cells
        self.radius = width / 2
        self.cover = np.zeros((cells, cells), dtype=np.float32)
        self._centres = (np.arange(cells) + 0.5) * self.cell - half

    def press(self, x: float | int, y: float | int) -> None:
        """Ink a round spot about (x, y), in metres from the centre; its rim fades over one cell."""
        reach = self.radius + self.cell
        columns, rows = (
            slice(*np.clip([int((c - reach + self.half) / self.cell), int((c + reach + self.half) / self.cell) + 1],
                           0, len(self.cover)))
            for c in (x, y)
        )  # fmt: skip
        away = np.hypot(self._centres[rows, None] - y, self._centres[None, columns] - x)
        spot = np.clip((self.radius - away) / self.cell + 0.5, 0, 1)
        patch = self.cover[rows, columns]
        np.maximum(patch, spot, out=patch, casting="same_kind")

    def at(self, places: Float[np.ndarray, "points 2"], footprint: float | int = 0.0) -> Float[np.ndarray, "points"]:
        """Share of ink at places (m from the centre), linear between cell centres, 0 outside the drawing.

        With a ``footprint`` (m), the mean over a square of about that side: what a pixel sees.
        """
        reach = max(1, round(footprint / self.cell))
        cover = self.cover if reach == 1 else uniform_filter(self.cover, reach, mode="constant")
        grid = (places + self.half) / self.cell - 0.5
        corner = np.floor(grid).astype(int)
        share = (grid - corner).astype(np.float32)
        padded = np.pad(cover, 1)
        corner = np.clip(corner + 1, 0, len(cover))
        i, j = corner[:, 1], corner[:, 0]
        u, v = share[:, 0], share[:, 1]
        below = (1 - u) * padded[i, j] + u * padded[i, j + 1]
        above = (1 - u) * padded[i + 1, j] + u * padded[i + 1, j + 1]
        inside = np.abs(places).max(axis=1) < self.half
        return np.where(inside, (1 - v) * below + v * above, np.float32(0))
