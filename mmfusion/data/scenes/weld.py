"""What welding needs: a torch, seams on a workpiece, and the bead that stays behind and cools."""

from dataclasses import dataclass

import mujoco
import numpy as np

from mmfusion.data.robot import block, numbers, rgba, tube

BEND = np.radians(35)  # of the torch's neck
ELEMENTS = 16  # pieces of a bead
BEAD_RADIUS = 0.0055
REACHED = 0.007  # an element is deposited once the arc comes so near (m)
ARC_LENGTH = 0.008  # farthest from the seam at which the arc burns (m)
FIRING_TIME = 0.08  # the current rises within about this time (s)
COLD, STEEL = (0.20, 0.21, 0.25), (0.56, 0.58, 0.62)


def torch(flange: float | int, prefix: str = "") -> str:
    """A torch with a bent neck as MJCF; its site ``tip`` is the wire's end, z along the wire.

    The neck bends towards the flange's x axis.
    """
    dark, copper, brass = (0.12, 0.12, 0.14), (0.72, 0.42, 0.22), (0.85, 0.68, 0.30)
    along = np.array([np.sin(BEND), 0.0, np.cos(BEND)])
    knee = np.array([0.0, 0.0, flange + 0.13])
    neck, nozzle = knee + 0.07 * along, knee + 0.125 * along
    tip = knee + 0.140 * along
    turn = (np.cos(BEND / 2), 0, np.sin(BEND / 2), 0)
    return (
        tube((0, 0, flange), (0, 0, flange + 0.025), 0.042, dark, 0.4, "cylinder")
        + tube((0, 0, flange), knee, 0.021, dark, 0.6)
        + tube(knee, neck, 0.012, copper, 0.2)
        + tube(neck, nozzle, 0.015, brass, 0.2, "cylinder")
        + tube(nozzle, tip, 0.002, copper, 0.0)
        + f'<site name="{prefix}tip" pos="{numbers(tip)}" quat="{numbers(turn)}"/>'
    )


@dataclass(frozen=True)
class Seam:
    """A straight fillet seam in the workpiece's frame (m).

    ``open_side`` points from the upright plate to the side on which the torch works; ``lean`` is where the
    flange leans from the wire.
    """

    start: tuple
    end: tuple
    open_side: tuple
    lean: tuple

    @property
    def length(self) -> float:
        """Metres."""
        return float(np.linalg.norm(np.subtract(self.end, self.start)))

    def wire(self, push: float | int = 0.0) -> np.ndarray:
        """Direction of the wire: halfway between the two plates, tilted by ``push`` (rad) along the seam."""
        across = -(np.array([0.0, 0.0, 1.0]) + np.array(self.open_side)) / np.sqrt(2)
        travel = np.subtract(self.end, self.start) / self.length
        return np.cos(push) * across + np.sin(push) * travel

    def reversed(self) -> "Seam":
        """The same seam from its other end."""
        return Seam(self.end, self.start, self.open_side, self.lean)

    def away(self, point: np.ndarray) -> float:
        """Distance of a point of the workpiece's frame from the seam (m)."""
        start, run = np.array(self.start), np.subtract(self.end, self.start)
        share = np.clip((point - start) @ run / (run @ run), 0, 1)
        return float(np.linalg.norm(point - start - share * run))

    def centres(self) -> np.ndarray:
        """Middles of the bead's elements, (ELEMENTS, 3)."""
        share = (np.arange(ELEMENTS) + 0.5)[:, None] / ELEMENTS
        return np.array(self.start) * (1 - share) + np.array(self.end) * share

    def bead(self, name: str) -> str:
        """The bead's elements as MJCF, in the workpiece's frame."""
        edges = np.linspace(self.start, self.end, ELEMENTS + 1)
        return "".join(
            f'<geom name="{name}_{k}" type="capsule" class="link" group="2" size="{BEAD_RADIUS:g}" rgba="{rgba(COLD)}" '
            f'fromto="{numbers((*a, *b))}"/>'
            for k, (a, b) in enumerate(zip(edges[:-1], edges[1:], strict=True))
        )


def heat(age: float | int) -> tuple[float, float, float]:
    """Light that steel sends out ``age`` seconds after it was molten: from yellow over red to nothing."""
    return 1.15 * np.exp(-age / 2.4), 0.80 * np.exp(-age / 1.1), 0.45 * np.exp(-age / 0.5)


class Bead:
    """The beads of an episode: which elements lie there, and since when.

    ``times`` (seams, ELEMENTS) are seconds of the episode, infinite where nothing was deposited yet.
    """

    def __init__(self, model: mujoco.MjModel, seams: dict[str, Seam]):
        self.model, self.names = model, list(seams)
        self.geoms = np.array([[model.geom(f"{name}_{k}").id for k in range(ELEMENTS)] for name in seams])
        self.centres = np.stack([seam.centres() for seam in seams.values()])
        self.clear()

    def clear(self) -> None:
        """Before an episode: no bead."""
        self.times = np.full(self.geoms.shape, np.inf)
        self.model.geom_rgba[self.geoms.ravel(), 3] = 0.0  # rays pass through what has no opacity

    def deposit(self, seam: str, arc: np.ndarray, now: float | int) -> None:
        """The arc burns at ``arc`` (m, workpiece's frame) over the named seam at ``now`` (s)."""
        row = self.names.index(seam)
        near = np.linalg.norm(self.centres[row] - arc, axis=1) < REACHED
        fresh = near & np.isinf(self.times[row])
        self.times[row, fresh] = now
        self.model.geom_rgba[self.geoms[row, fresh], 3] = 1.0

    def glow(self, now: float | int) -> dict[int, tuple]:
        """Light of the elements that are still hot, by geom."""
        warm = (now - self.times >= 0) & (now - self.times < 9)
        return {int(g): heat(now - t) for g, t in zip(self.geoms[warm], self.times[warm], strict=True)}


def plate(centre: tuple, half: tuple, colour: tuple = STEEL) -> str:
    """A steel plate of the workpiece."""
    return block(centre, half, colour)
