"""A bimodal data set: camera pictures, windows of sensor history, and the episodes that they come from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class MultimodalDataset:
    """Pictures with the sensor history that ends at each of them.

    Attributes
    ----------
    camera : uint8 (N, H, W, 3), red-green-blue.
    sensor : float32 (N, w_l, d_t); the last row of a window is measured at the picture's own time step.
    episode : integer (N,); windows of one episode overlap, so only whole episodes may be kept apart.
    feature_names : names of the d_t sensor channels, with units in the generator's description.
    digest : SHA-256 of the arrays of the *whole* data set; a part keeps the digest of what it was taken from.
    parameters : what was asked for, the generator's version, and, for a part, which part it is.

    Raises ``ValueError`` where shapes or types do not fit together, or a sensor value is not finite.
    """

    camera: np.ndarray
    sensor: np.ndarray
    episode: np.ndarray
    feature_names: tuple[str, ...]
    digest: str
    parameters: Mapping

    def __post_init__(self):
        camera, sensor, episode = self.camera, self.sensor, self.episode
        if camera.ndim != 4 or camera.shape[-1] != 3 or camera.dtype != np.uint8:
            raise ValueError(f"camera must be uint8 (N, H, W, 3), got {camera.dtype} {camera.shape}")
        if sensor.ndim != 3 or sensor.dtype != np.float32:
            raise ValueError(f"sensor must be float32 (N, w_l, d_t), got {sensor.dtype} {sensor.shape}")
        if episode.ndim != 1 or not np.issubdtype(episode.dtype, np.integer):
            raise ValueError(f"episode must be integers (N,), got {episode.dtype} {episode.shape}")
        if not len(camera) == len(sensor) == len(episode):
            raise ValueError(
                f"camera, sensor and episode differ in length: {len(camera)}, {len(sensor)}, {len(episode)}"
            )
        if len(self.feature_names) != sensor.shape[2]:
            raise ValueError(f"{len(self.feature_names)} feature names for {sensor.shape[2]} sensor channels")
        if not np.isfinite(sensor).all():
            raise ValueError("sensor holds values that are not finite")

    def __len__(self) -> int:
        return len(self.episode)

    @property
    def episodes(self) -> np.ndarray:
        """The episode numbers that occur, ascending."""
        return np.unique(self.episode)

    def select(self, keep: np.ndarray, part: str) -> "MultimodalDataset":
        """The samples at ``keep`` (indices or mask), marked as ``part`` in the parameters."""
        return replace(
            self,
            camera=self.camera[keep],
            sensor=self.sensor[keep],
            episode=self.episode[keep],
            parameters={**self.parameters, "part": part},
        )

    def split(self, test_fraction: float = 0.25, seed: int = 0) -> tuple["MultimodalDataset", "MultimodalDataset"]:
        """Training and test part, divided by *episode*: no window, and no scene, is on both sides.

        At least one episode goes to each side. Raises ``ValueError`` for a fraction outside (0, 1) or where
        there are fewer than two episodes.
        """
        if not 0 < test_fraction < 1:
            raise ValueError(f"test_fraction must lie strictly between 0 and 1, got {test_fraction}")
        episodes = self.episodes
        if len(episodes) < 2:
            raise ValueError(f"a split by episode needs at least 2 episodes, got {len(episodes)}; ask for more frames")
        count = min(max(round(len(episodes) * test_fraction), 1), len(episodes) - 1)
        chosen = np.random.default_rng(seed).permutation(episodes)[:count]
        test = np.isin(self.episode, chosen)
        return self.select(~test, "train"), self.select(test, "test")

    def tensors(self, standardiser: "Standardiser | None" = None) -> dict[str, Tensor]:
        """What a model takes: ``camera`` float32 (N, 3, H, W) in [0, 1], ``sensor`` float32 (N, w_l·d_t).

        Without a standardiser the sensor keeps its physical units.
        """
        sensor = torch.from_numpy(np.ascontiguousarray(self.sensor))
        if standardiser is not None:
            sensor = standardiser.apply(sensor)
        camera = torch.from_numpy(np.ascontiguousarray(self.camera.transpose(0, 3, 1, 2)))
        return {"camera": camera.float().div_(255), "sensor": sensor.flatten(1)}


@dataclass(frozen=True, eq=False)
class Standardiser:
    """Mean and standard deviation of each sensor channel, taken from the training part only.

    A channel that never moves keeps scale 1, so that nothing is divided by zero.
    """

    mean: Float[np.ndarray, "channels"]
    scale: Float[np.ndarray, "channels"]

    @classmethod
    def fit(cls, train: MultimodalDataset) -> "Standardiser":
        """Moments over all samples and time steps of ``train``. Raises ``ValueError`` on a test part or no data."""
        if train.parameters.get("part") == "test":
            raise ValueError("a standardiser is fitted on training data; this is a test part")
        if len(train) == 0:
            raise ValueError("a standardiser needs at least one sample, got none")
        values = train.sensor.reshape(-1, train.sensor.shape[2]).astype(np.float64)
        scale = values.std(axis=0)
        scale[scale < 1e-8] = 1.0
        return cls(values.mean(axis=0).astype(np.float32), scale.astype(np.float32))

    def _channels(self, sensor: Tensor) -> Tensor:
        width = sensor.shape[-1]
        if width % len(self.mean):
            raise ValueError(f"the sensor's last axis must be a multiple of {len(self.mean)} channels, got {width}")
        return sensor.unflatten(-1, (-1, len(self.mean)))

    def apply(self, sensor: Float[Tensor, "... last"]) -> Float[Tensor, "... last"]:
        """Physical units to z-scores; the last axis holds one or several whole sensor vectors."""
        mean, scale = (torch.as_tensor(a, dtype=sensor.dtype, device=sensor.device) for a in (self.mean, self.scale))
        return ((self._channels(sensor) - mean) / scale).reshape(sensor.shape)

    def invert(self, sensor: Float[Tensor, "... last"]) -> Float[Tensor, "... last"]:
        """z-scores back to physical units."""
        mean, scale = (torch.as_tensor(a, dtype=sensor.dtype, device=sensor.device) for a in (self.mean, self.scale))
        return (self._channels(sensor) * scale + mean).reshape(sensor.shape)
