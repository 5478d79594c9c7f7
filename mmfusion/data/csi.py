"""WiFi channel state information from geometry: a transmitter and a receiver in a room with moving scatterers.

The channel of one link is a sum of paths, each with a gain and a delay τ,

    h(f) = Σ gain · exp(−2πi f τ),

where the gain of the line of sight is λ / (4π d) (Friis 1946, isotropic antennas), that of a wall's reflection is
the same over the way to the transmitter's image behind the wall (Allen and Berkley 1979) times the wall's
reflection coefficient, and that of a scatterer with radar cross-section σ follows the bistatic radar equation,
λ √σ / ((4π)^1.5 d₁ d₂). Waves are scalar: no polarisation, no diffraction, and nothing blocks a path.

The band is that of an 80 MHz channel at 5.21 GHz (IEEE 802.11ac, channel 42), as a Raspberry Pi with the Nexmon
firmware reports it: 256 subcarriers, of which RoboMNIST's own example drops `DROPPED`.

Units: metres, seconds, hertz, watts.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Complex, Float

LIGHT_SPEED = 299_792_458.0
CARRIER = 5.21e9  # middle of the band
SPACING = 312.5e3  # between two subcarriers; 256 of them make 80 MHz
SUBCARRIERS = 256
# Guard, zero and other unused bins, counted from the lowest frequency (RoboMNIST, examples/wifi_csi_read).
DROPPED = (*range(5), *range(115, 121), *range(122, 132), *range(253, 256))
BOLTZMANN, TEMPERATURE = 1.380649e-23, 290.0

ACTIVE = np.setdiff1d(np.arange(SUBCARRIERS), DROPPED)


def frequencies(bins: np.ndarray) -> np.ndarray:
    """Frequencies (Hz) of subcarriers by their number from 0 to 255; number 128 is the carrier."""
    return CARRIER + (np.asarray(bins) - SUBCARRIERS // 2) * SPACING


@dataclass(frozen=True)
class Room:
    """A box with one corner at ``low`` and the other at ``high`` (m); ``reflection`` of its six walls, for
    the amplitude, between -1 and 1 (negative: the wave turns over, as at most walls)."""

    low: tuple = (-2.2, -2.6, -0.75)
    high: tuple = (3.1, 2.4, 2.05)
    reflection: float | int = -0.45

    def __post_init__(self):
        if not np.all(np.asarray(self.low) < self.high):
            raise ValueError(f"a room needs low < high in each direction, got {self.low} and {self.high}")
        if not -1 <= self.reflection <= 1:
            raise ValueError(f"reflection must lie in [-1, 1], got {self.reflection}")

    def images(self, point: tuple) -> Float[np.ndarray, "6 3"]:
        """Mirror images of a point behind the six walls."""
        mirrored = np.tile(np.asarray(point, dtype=float), (6, 1))
        for axis in range(3):
            for side, wall in enumerate((self.low[axis], self.high[axis])):
                mirrored[2 * axis + side, axis] = 2 * wall - mirrored[2 * axis + side, axis]
        return mirrored


@dataclass(frozen=True)
class Link:
    """A transmitter and a receiver (m) in a room, and what their hardware adds.

    ``power`` (W) is shared evenly by the 256 subcarriers; ``noise_figure`` (dB) lies above the thermal noise
    k T Δf of one subcarrier (a bare receiver has about 7 dB, but the chip reports channel state coarsely);
    ``drift`` (dB) is the standard deviation of the gain's slow wandering, which forgets itself within about
    ``memory`` seconds.
    """

    transmitter: tuple = (-0.7, 1.2, 0.65)
    receiver: tuple = (1.3, -1.1, 0.45)
    room: Room = field(default_factory=Room)
    power: float | int = 0.03
    noise_figure: float | int = 18.0
    drift: float | int = 0.3
    memory: float | int = 8.0

    def __post_init__(self):
        for name in ("transmitter", "receiver"):
            inside = np.less(self.room.low, getattr(self, name)) & np.less(getattr(self, name), self.room.high)
            if not inside.all():
                raise ValueError(f"the {name} must stand inside the room, got {getattr(self, name)}")
        if min(self.power, self.memory) <= 0 or self.drift < 0:
            raise ValueError("power and memory must be positive and drift not negative, got "
                             f"{self.power}, {self.memory}, {self.drift}")  # fmt: skip

    @property
    def noise_power(self) -> float:
        """Noise in one subcarrier (W)."""
        return BOLTZMANN * TEMPERATURE * SPACING * 10 ** (self.noise_figure / 10)

    def still(self, frequency: Float[np.ndarray, "f"]) -> Complex[np.ndarray, "f"]:
        """Gain over the line of sight and the six walls."""
        sources = np.vstack([np.asarray(self.transmitter, dtype=float), self.room.images(self.transmitter)])
        way = np.linalg.norm(sources - self.receiver, axis=1)
        strength = np.array([1.0] + [self.room.reflection] * 6)
        return (strength[:, None] * _path(way[:, None], frequency) / (4 * np.pi * way[:, None])).sum(axis=0)

    def scattered(
        self,
        frequency: Float[np.ndarray, "f"],
        places: Float[np.ndarray, "times scatterers 3"],
        cross_section: Float[np.ndarray, "scatterers"],
    ) -> Complex[np.ndarray, "times f"]:
        """Gain over scatterers at ``places`` (m) with radar cross-sections (m²)."""
        there = np.linalg.norm(places - np.asarray(self.transmitter), axis=2)
        back = np.linalg.norm(places - np.asarray(self.receiver), axis=2)
        gain = np.sqrt(cross_section) / ((4 * np.pi) ** 1.5 * there * back)
        total = np.zeros((len(places), len(frequency)), dtype=complex)
        for k in range(places.shape[1]):
            total += gain[:, k, None] * _path((there + back)[:, k, None], frequency)
        return total

    def measure(
        self,
        frequency: Float[np.ndarray, "f"],
        places: Float[np.ndarray, "times scatterers 3"],
        cross_section: Float[np.ndarray, "scatterers"],
        period: float | int,
        rng: np.random.Generator,
    ) -> Complex[np.ndarray, "times f"]:
        """What the receiver reports every ``period`` seconds, in √W: gain, times √power, drifting, with noise."""
        gain = self.still(frequency) + self.scattered(frequency, places, cross_section)
        sent = np.sqrt(self.power / SUBCARRIERS)
        wander = 10 ** (self.wander(len(places), period, rng) / 20)
        noise = rng.standard_normal((2, *gain.shape)) * np.sqrt(self.noise_power / 2)
        return sent * wander[:, None] * gain + noise[0] + 1j * noise[1]

    def wander(self, count: int, period: float | int, rng: np.random.Generator) -> Float[np.ndarray, "times"]:
        """Slow drift of the receiver's gain (dB): an Ornstein-Uhlenbeck process sampled every ``period`` seconds."""
        keep = np.exp(-period / self.memory)
        drift = np.empty(count)
        value = rng.standard_normal()
        for k, kick in enumerate(rng.standard_normal(count)):
            drift[k] = value
            value = keep * value + np.sqrt(1 - keep**2) * kick
        return self.drift * drift

    def signal_to_noise(self, frequency: Float[np.ndarray, "f"]) -> Float[np.ndarray, "f"]:
        """Ratio (dB) of received to noise power at each subcarrier, without scatterers."""
        received = self.power / SUBCARRIERS * np.abs(self.still(frequency)) ** 2
        return 10 * np.log10(received / self.noise_power)


def decibels(state: np.ndarray) -> np.ndarray:
    """Amplitude of channel state in dB over 1 mW, what a model gets to see."""
    return 20 * np.log10(np.maximum(np.abs(state), 1e-12)) + 30


def _path(way: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """Wavelength times the phase factor of a way (m)."""
    return LIGHT_SPEED / frequency * np.exp(-2j * np.pi * frequency * way / LIGHT_SPEED)
