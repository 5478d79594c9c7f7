"""Models that watch for failures: distances of clean and failed held-out samples, and what follows from them."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mmfusion.data import failures
from mmfusion.measure import detection, roc
from mmfusion.measure.detection import LatentDetector
from mmfusion.models import MultimodalAutoencoder

Kind = tuple[str, str]  # modality and kind of failure
MANY = 400


@dataclass(eq=False)
class Watched:
    """Distances that one model's detector gives to held-out samples.

    Attributes
    ----------
    detector : fitted on clean training latents.
    training : distances of all clean training samples.
    episode : of each held-out sample. clean : their distances as they are.
    failed : by modality, kind and severity, the distances of the same samples with that failure.
    """

    detector: LatentDetector
    training: Float[np.ndarray, "trained"]
    episode: Int[np.ndarray, "samples"]
    clean: Float[np.ndarray, "samples"]
    failed: dict[tuple[str, str, float], Float[np.ndarray, "samples"]] = field(default_factory=dict)

    @cached_property
    def thresholds(self) -> Float[np.ndarray, "samples"]:
        """The threshold for each sample, set by the clean samples of all other held-out episodes."""
        return detection.rotating_thresholds(self.clean, self.episode, self.detector.quantile)

    @property
    def training_threshold(self) -> float:
        """The threshold that the clean training samples set, on which the detector was fitted."""
        return detection.percentile(self.training, self.detector.quantile)

    def false_alarms(self, training: bool = False) -> Bool[np.ndarray, "samples"]:
        """Clean samples above their threshold, or above that of the training samples."""
        return self.clean > (self.training_threshold if training else self.thresholds)

    def found(self, kind: Kind, severity: float, training: bool = False) -> Bool[np.ndarray, "samples"]:
        """Failed samples above their threshold, or above that of the training samples."""
        return self.failed[*kind, severity] > (self.training_threshold if training else self.thresholds)

    def area(self, kind: Kind, severity: float) -> float:
        """Area under the ROC curve of failed against clean samples."""
        return roc.auroc(self.failed[*kind, severity], self.clean)

    def wins(self, kind: Kind, severity: float) -> roc.Wins:
        """Failed against clean samples, counted by episode."""
        return roc.Wins.count(self.failed[*kind, severity], self.clean, self.episode, self.episode)


def kinds_of(batch: Mapping[str, Tensor]) -> list[Kind]:
    """Every failure that a batch can have: modality and kind."""
    return [(modality, kind) for modality, kinds in failures.kinds_of(batch).items() for kind in kinds]


@torch.no_grad()
def watch(
    models: Mapping[Hashable, MultimodalAutoencoder],
    detectors: Mapping[str, LatentDetector],
    train_set: Mapping[str, Tensor],
    held_out: Mapping[str, Tensor],
    episode: Int[np.ndarray, "_"],
    severities: Sequence[float],
    channels: Mapping[str, int] | int,
    seed: int = 0,
) -> dict[Hashable, dict[str, Watched]]:
    """Fit every detector on every model's training latents, and measure the held-out samples, clean and failed.

    All models see the same failures: one draw per modality, kind and severity.

    Parameters
    ----------
    models : by any key. detectors : unfitted, by name; each model gets its own copy.
    train_set, held_out : clean batches. episode : of each held-out sample.
    severities : of the failures; channels : of flattened windows, see :func:`mmfusion.data.failures.inject`.

    Returns, by model and detector, what was measured; a model whose latents are all alike has collapsed, can tell
    nothing from nothing, and is left out. Raises ``ValueError`` as the detectors do.
    """
    result: dict[Hashable, dict[str, Watched]] = {}
    known = {}
    for key, model in models.items():
        train = detection.fused_latents(model, train_set)
        if detection.typical_distance(train[:MANY]) == 0:
            continue
        known[key] = detection.encoded(model, held_out)
        clean = detection.fused_latents(model, {}, known[key])
        fitted = {name: detector.copy().fit(train) for name, detector in detectors.items()}
        result[key] = {
            name: Watched(d, d.score(train), np.asarray(episode), d.score(clean)) for name, d in fitted.items()
        }
    for modality, kind in kinds_of(held_out):
        for severity in severities:
            generator = torch.Generator().manual_seed(seed)
            broken = failures.inject(held_out, modality, kind, severity, generator, channels)[modality]
            for key in result:
                intact = {name: latent for name, latent in known[key].items() if name != modality}
                latents = detection.fused_latents(models[key], {modality: broken}, intact)
                for watched in result[key].values():
                    watched.failed[modality, kind, severity] = watched.detector.score(latents)
    return result


def apart(
    model: MultimodalAutoencoder,
    detector: LatentDetector,
    clean: Mapping[str, Tensor],
    failed: Iterable[Mapping[str, Tensor]],
) -> list[float]:
    """Areas under the ROC curve when clean and failed latents are embedded *separately*, each by a fit of its own.

    It shows why one should not: either set is then measured against itself.
    """

    def own(batch: Mapping[str, Tensor]) -> np.ndarray:
        latents = detection.fused_latents(model, batch)
        return detector.copy().fit(latents).score(latents)

    reference = own(clean)
    return [roc.auroc(own(batch), reference) for batch in failed]
