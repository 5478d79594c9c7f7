"""Failure detection on latents: kernel PCA, Mahalanobis distance, threshold (paper A, § 5.7).

The paper names these three steps and gives no kernel, no number of components and no covariance estimate. Here the
kernel is Gaussian, its width set by the median heuristic; the covariance is Ledoit and Wolf's; and clean data fall into
three parts that share no episode: one fits the embedding, one sets the threshold, one is judged.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial.distance import pdist
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import KernelPCA
from sklearn.metrics import pairwise_kernels
from torch import Tensor

from mmfusion.models import MultimodalAutoencoder

Latents = Float[np.ndarray, "..."]  # (samples, features); checked at the door, in words
Distances = Float[np.ndarray, "_"]

KERNELS = ("rbf", "linear")


class LatentDetector:
    """Distance of a latent from the clean training latents, and an alarm above a threshold.

    Latents are projected on the leading kernel principal components of clean training latents; the score is the
    Mahalanobis distance of the projection from the clean mean. Two data sets are comparable only through one fit.

    Parameters
    ----------
    components : number of kernel principal components.
    kernel : ``"rbf"``, exp(−γ‖x − y‖²), or ``"linear"``, which is ordinary PCA.
    gamma : γ; by default 1 over the median squared distance between training latents.
    quantile : share of clean calibration data that stays below the threshold.
    most : of more training latents, this many are drawn (kernel PCA needs their kernel matrix whole).
    seed : of that draw.

    Attributes
    ----------
    gamma_ : γ as used, NaN for the linear kernel. samples_ : number of training latents used.
    shrinkage_ : weight of the multiple of the identity in the covariance, from 0 (none) to 1.
    explained_ : share of the variance in the kernel's feature space that the components hold.
    threshold_ : None until :meth:`calibrate`.

    Raises ``ValueError`` for parameters out of range.
    """

    def __init__(
        self, components: int = 20, *, kernel: str = "rbf", gamma: float | None = None, quantile: float = 0.95,
        most: int = 400, seed: int = 0,
    ) -> None:  # fmt: skip
        if components < 1:
            raise ValueError(f"components must be at least 1, got {components}")
        if kernel not in KERNELS:
            raise ValueError(f"kernel must be one of {', '.join(KERNELS)}; got {kernel!r}")
        if gamma is not None and not (math.isfinite(gamma) and gamma > 0):
            raise ValueError(f"gamma must be positive, got {gamma}")
        if not 0 < quantile < 1:
            raise ValueError(f"quantile must lie between 0 and 1, got {quantile}")
        self.components, self.kernel, self.gamma, self.quantile = components, kernel, gamma, quantile
        self.most, self.seed = most, seed
        self.threshold_: float | None = None
        self._pca: KernelPCA | None = None

    def copy(self) -> "LatentDetector":
        """An unfitted detector of the same parameters."""
        return LatentDetector(
            self.components, kernel=self.kernel, gamma=self.gamma, quantile=self.quantile, most=self.most,
            seed=self.seed,
        )  # fmt: skip

    def fit(self, clean: Latents) -> "LatentDetector":
        """Learn what clean looks like, from training latents only; forgets a threshold set before.

        Raises ``ValueError`` for fewer latents than components + 1, values that are not finite, or latents that are all
        alike.
        """
        clean = _finite(clean, "training")
        if len(clean) > self.most:
            keep = np.random.default_rng(self.seed).choice(len(clean), self.most, replace=False)
            clean = clean[np.sort(keep)]
        # Centring takes one dimension away: n latents span at most n − 1 components.
        if len(clean) <= self.components:
            raise ValueError(
                f"kernel PCA with {self.components} components needs at least {self.components + 1} clean training "
                f"latents, got {len(clean)}; fit on more or ask for fewer components"
            )
        typical = typical_distance(clean)
        if typical == 0:
            raise ValueError("most clean training latents are alike: no distance can be measured among them")
        self.gamma_ = (self.gamma or 1 / typical) if self.kernel == "rbf" else math.nan
        self._clean = clean
        own = self._kernel(clean)
        whole = np.trace(own) - own.sum() / len(own)  # KernelPCA works in place, so before it
        self._pca = KernelPCA(self.components, kernel="precomputed", eigen_solver="dense")
        self._covariance = LedoitWolf().fit(self._pca.fit_transform(own))
        self.shrinkage_ = float(self._covariance.shrinkage_)
        self.samples_ = len(clean)
        self.explained_ = float(self._pca.eigenvalues_.sum() / whole)
        self.threshold_ = None
        return self

    def score(self, latents: Latents) -> Distances:
        """Mahalanobis distance of each latent from the clean mean.

        Raises ``ValueError`` before :meth:`fit`, for another number of features, or for values that are not finite.
        """
        self._check_fitted()
        latents = _finite(latents, "given")
        if latents.shape[1] != self._clean.shape[1]:
            raise ValueError(f"fitted on latents of {self._clean.shape[1]} features, got {latents.shape[1]}")
        return self._distances(self._kernel(latents))

    def calibrate(self, clean: Latents) -> float:
        """Set the threshold from clean latents that were not fitted on, and return it."""
        self.threshold_ = percentile(self.score(clean), self.quantile)
        return self.threshold_

    def detect(self, latents: Latents) -> Bool[np.ndarray, "samples"]:
        """Whether each distance lies above the threshold. Raises ``ValueError`` where none is set."""
        if self.threshold_ is None:
            raise ValueError("no threshold is set; call calibrate with held-out clean latents first")
        return self.score(latents) > self.threshold_

    def farthest(self) -> float:
        """Distance of a latent infinitely far from all training latents: finite under the Gaussian kernel, where such
        a latent resembles nothing and lies at a fixed place; infinite under the linear one."""
        self._check_fitted()
        if self.kernel == "linear":
            return math.inf
        return float(self._distances(np.zeros((1, self.samples_)))[0])

    def _kernel(self, latents: Latents) -> np.ndarray:
        """Kernel of each latent (rows) with each clean training latent (columns)."""
        settings = {"gamma": self.gamma_} if self.kernel == "rbf" else {}
        return pairwise_kernels(latents, self._clean, metric=self.kernel, **settings)

    def _distances(self, rows: np.ndarray) -> Distances:
        return np.sqrt(self._covariance.mahalanobis(self._pca.transform(rows)))

    def _check_fitted(self) -> None:
        if self._pca is None:
            raise ValueError("this detector has seen no clean training latents; call fit first")


def typical_distance(latents: Latents) -> float:
    """Median squared distance between two latents; 0 where most are alike, as under a model that has collapsed."""
    return float(np.median(pdist(latents, "sqeuclidean")))


def percentile(distances: Distances, quantile: float = 0.95) -> float:
    """The k-th smallest of n distances, k = ⌈quantile·n⌉: at least the share ``quantile`` does not exceed it.

    Raises ``ValueError`` for no distances.
    """
    if not len(distances):
        raise ValueError("a threshold needs at least one clean distance, got none")
    return float(np.quantile(distances, quantile, method="inverted_cdf"))


def rotating_thresholds(clean: Distances, episode: Int[np.ndarray, "_"], quantile: float = 0.95) -> Distances:
    """For each sample the threshold that the clean samples of all *other* episodes set.

    So every held-out episode is judged once, and none by a threshold that it helped to set. Raises ``ValueError`` for
    fewer than two episodes, or another number of labels than of distances.
    """
    if len(clean) != len(episode):
        raise ValueError(f"{len(clean)} distances, but the episodes of {len(episode)}")
    names = np.unique(episode)
    if len(names) < 2:
        raise ValueError(
            f"a threshold from other episodes needs at least 2 held-out episodes, got {len(names)}; "
            "hold out a larger share, or make more frames"
        )
    thresholds = np.empty(len(clean))
    for name in names:
        thresholds[episode == name] = percentile(clean[episode != name], quantile)
    return thresholds


@torch.no_grad()
def fused_latents(
    model: MultimodalAutoencoder,
    inputs: Mapping[str, Tensor],
    known: Mapping[str, Float[Tensor, "batch latent"]] | None = None,
    batch: int = 512,
) -> Latents:
    """The fused representation of every sample, in double precision on the CPU.

    ``known`` holds latents of modalities that need no encoding again, from :func:`encoded`.

    Raises ``ValueError`` for a modality of the model that neither holds; the message names it.
    """
    known = dict(known or {})
    missing = [name for name in model.encoders if name not in inputs and name not in known]
    if missing:
        raise ValueError(
            f"{', '.join(missing)} missing: this model fuses {', '.join(model.encoders)}, and none of them can be left "
            "out when latents are computed"
        )
    latents = encoded(model, {name: x for name, x in inputs.items() if name not in known}, batch) | known
    fused = model.fuse({name: latents[name] for name in model.encoders})
    return fused.cpu().double().numpy()


@torch.no_grad()
def encoded(
    model: MultimodalAutoencoder, inputs: Mapping[str, Tensor], batch: int = 512
) -> dict[str, Float[Tensor, "batch latent"]]:
    """Latents of some of the model's modalities. Raises ``ValueError`` for a modality that is not the model's."""
    foreign = [name for name in inputs if name not in model.encoders]
    if foreign:
        raise ValueError(f"this model has the modalities {list(model.encoders)}, not {', '.join(foreign)}")
    return {
        name: torch.cat([model.encoders[name](part) for part in tensor.split(batch)]) for name, tensor in inputs.items()
    }


def _finite(latents: Latents, which: str) -> np.ndarray:
    array = np.asarray(latents, dtype=float)
    if array.ndim != 2:
        raise ValueError(f"latents must have two axes (samples, features), got shape {array.shape}")
    broken = ~np.isfinite(array).all(axis=1)
    if broken.any():
        raise ValueError(f"{int(broken.sum())} of {len(array)} {which} latents are not finite")
    return array
