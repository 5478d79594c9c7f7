"""A multimodal data set: pictures, windows of history, and the episodes that they come from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class MultimodalDataset:
    """Synchronous samples of several modalities, such as pictures and the sensor history that ends at each of them.

    Attributes
    ----------
    modalities : by name, either pictures, uint8 (N, H, W, 3), red-green-blue; or windows of history, float32
        (N, w_l, d), whose last row is measured at the sample's own time step.
    episode : integer (N,); windows of one episode overlap, so only whole episodes may be kept apart.
    channels : for every modality of windows the names of its d channels, with units in the generator's description.
    digest : SHA-256 of the arrays of the *whole* data set; a part keeps the digest of what it was taken from.
    parameters : what was asked for, the generator's version, and, for a part, which part it is.

    ``dataset["camera"]`` is the array of one modality.

    Raises ``ValueError`` where shapes or types do not fit together, or a window's value is not finite.
    """

    modalities: Mapping[str, np.ndarray]
    episode: np.ndarray
    channels: Mapping[str, tuple[str, ...]]
    digest: str
    parameters: Mapping

    def __post_init__(self):
        if not self.modalities:
            raise ValueError("a data set wants at least one modality, got none")
        for name, array in self.modalities.items():
            self._check(name, array)
        episode = self.episode
        if episode.ndim != 1 or not np.issubdtype(episode.dtype, np.integer):
            raise ValueError(f"episode must be integers (N,), got {episode.dtype} {episode.shape}")
        lengths = {**{name: len(array) for name, array in self.modalities.items()}, "episode": len(episode)}
        if len(set(lengths.values())) > 1:
            said = ", ".join(f"{name} {count}" for name, count in lengths.items())
            raise ValueError(f"modalities differ in length: {said}")
        foreign = sorted(self.channels.keys() - self.windows)
        if foreign:
            raise ValueError(f"channels are named for {foreign}, which are no modalities of windows")

    def _check(self, name: str, array: np.ndarray) -> None:
        if array.ndim == 4 and array.shape[-1] == 3 and array.dtype == np.uint8:
            return
        if array.ndim != 3 or array.dtype != np.float32:
            raise ValueError(
                f"{name} must be pictures, uint8 (N, H, W, 3), or windows, float32 (N, w_l, d); "
                f"got {array.dtype} {array.shape}"
            )
        names = self.channels.get(name, ())
        if len(names) != array.shape[2]:
            raise ValueError(f"{len(names)} channel names for {array.shape[2]} channels of {name}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds values that are not finite")

    def __len__(self) -> int:
        return len(self.episode)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.modalities:
            raise ValueError(f"this data set has the modalities {list(self.modalities)}, not {name!r}")
        return self.modalities[name]

    @property
    def windows(self) -> list[str]:
        """Names of the modalities that are windows of history."""
        return [name for name, array in self.modalities.items() if array.ndim == 3]

    @property
    def widths(self) -> dict[str, int]:
        """Channels of every modality of windows, as :func:`mmfusion.data.corruption.corrupt` takes them."""
        return {name: self.modalities[name].shape[2] for name in self.windows}

    @property
    def episodes(self) -> np.ndarray:
        """The episode numbers that occur, ascending."""
        return np.unique(self.episode)

    def only(self, modalities: Iterable[str]) -> "MultimodalDataset":
        """The same samples with some of the modalities, in the order given. Raises ``ValueError`` for unknown ones."""
        kept = {name: self[name] for name in modalities}
        channels = {name: names for name, names in self.channels.items() if name in kept}
        return replace(self, modalities=kept, channels=channels)

    def select(self, keep: np.ndarray, part: str) -> "MultimodalDataset":
        """The samples at ``keep`` (indices or mask), marked as ``part`` in the parameters."""
        return replace(
            self,
            modalities={name: array[keep] for name, array in self.modalities.items()},
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
        """What a model takes: pictures float32 (N, 3, H, W) in [0, 1], windows float32 (N, w_l·d).

        Without a standardiser windows keep their physical units.
        """
        tensors = {}
        for name, array in self.modalities.items():
            if array.ndim == 4:
                picture = torch.from_numpy(np.ascontiguousarray(array.transpose(0, 3, 1, 2)))
                tensors[name] = picture.float().div_(255)
            else:
                windows = torch.from_numpy(np.ascontiguousarray(array))
                tensors[name] = (standardiser.apply(windows, name) if standardiser else windows).flatten(1)
        return tensors


@dataclass(frozen=True, eq=False)
class Standardiser:
    """Mean and standard deviation of each channel of each modality of windows, taken from the training part only.

    A channel that never moves keeps scale 1, so that nothing is divided by zero; ``constant`` names such channels.
    """

    mean: Mapping[str, Float[np.ndarray, "channels"]]
    scale: Mapping[str, Float[np.ndarray, "channels"]]
    constant: Mapping[str, tuple[str, ...]]

    @classmethod
    def fit(cls, train: MultimodalDataset) -> "Standardiser":
        """Moments over all samples and time steps of ``train``. Raises ``ValueError`` on a test part or no data."""
        if train.parameters.get("part") == "test":
            raise ValueError("a standardiser is fitted on training data; this is a test part")
        if len(train) == 0:
            raise ValueError("a standardiser needs at least one sample, got none")
        mean, scale, constant = {}, {}, {}
        for name in train.windows:
            values = train[name].reshape(-1, train[name].shape[2]).astype(np.float64)
            spread = values.std(axis=0)
            still = spread < 1e-8
            constant[name] = tuple(np.array(train.channels[name])[still].tolist())
            mean[name] = values.mean(axis=0).astype(np.float32)
            scale[name] = np.where(still, 1.0, spread).astype(np.float32)
        return cls(mean, scale, constant)

    def _moments(self, windows: Tensor, name: str) -> tuple[Tensor, Tensor, Tensor]:
        if name not in self.mean:
            raise ValueError(f"this standardiser knows {list(self.mean)}, not {name!r}")
        count, width = len(self.mean[name]), windows.shape[-1]
        if width % count:
            raise ValueError(f"the last axis of {name} must be a multiple of {count} channels, got {width}")
        kinds = {"dtype": windows.dtype, "device": windows.device}
        mean, scale = (torch.as_tensor(moments[name], **kinds) for moments in (self.mean, self.scale))
        return windows.unflatten(-1, (-1, count)), mean, scale

    def apply(self, windows: Float[Tensor, "... last"], name: str = "sensor") -> Float[Tensor, "... last"]:
        """Physical units to z-scores; the last axis holds one or several whole measurements of modality ``name``."""
        values, mean, scale = self._moments(windows, name)
        return ((values - mean) / scale).reshape(windows.shape)

    def invert(self, windows: Float[Tensor, "... last"], name: str = "sensor") -> Float[Tensor, "... last"]:
        """z-scores back to physical units."""
        values, mean, scale = self._moments(windows, name)
        return (values * scale + mean).reshape(windows.shape)
