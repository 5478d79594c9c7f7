"""Control for weight decay: a run whose score weights keep the sizes that they had in another run.

Under the spectral quotient the size of a score matrix has no effect on the function, only on how far the next step
turns it. A run without a penalty, made to follow the sizes of a penalised one, therefore takes steps of the same
length relative to the matrix, and lacks only the penalty's gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import nn

from mmfusion import records
from mmfusion.fusion import BilinearAttention
from mmfusion.training import Settings

_PREFIX = "fusion/weights/spectral/"
_FREE = ("weight_l2", "penalise", "device", "measure_every", "checkpoint_every", "mixed_precision", "compile")


class Follow:
    """A hook ``adjust`` of :func:`mmfusion.training.train` that holds every score matrix at a recorded spectral norm.

    After each step a matrix ``W`` becomes ``W t / |W|``, where ``t`` was its norm at that moment of the followed run;
    between recorded epochs the logarithm of the norm is interpolated linearly. Optimiser states are left alone.

    Parameters
    ----------
    record : of the run to follow, with the norms of :func:`mmfusion.measure.weights.measure_weights` in its history.
    fusion, settings, digest : of the run to be adjusted: its fusion, its settings, and the digest of its data set. They
        must be those of the followed run, but for ``weight_l2``, which must be 0, and for how it is run and measured.

    Attributes
    ----------
    description : what is done, for the record of the adjusted run.

    Raises
    ------
    ValueError : the runs do not fit each other, or the record has no norms of the whole training. When called: a model
        without spectral quotient, or with other score maps.
    """

    def __init__(self, record: Mapping[str, Any], fusion: str, settings: Settings, digest: str) -> None:
        source = f"the record of {record['variant']!r}, seed {record['seed']},"
        if settings.weight_l2:
            raise ValueError(f"a run that follows another's norms must have weight_l2 0, got {settings.weight_l2}")
        if record["status"] != "finished":
            raise ValueError(f"{source} is of a run that {record['status']}; wanted one that finished")
        if record["dataset"]["digest"] != digest:
            raise ValueError(f"{source} is of other data; train {record['variant']!r} on these first")
        if record["fusion"] != fusion:
            raise ValueError(f"{source} is of the fusion {record['fusion']!r}; wanted {fusion!r}")
        own = asdict(settings)
        other = [k for k in own if k not in _FREE and k in record["config"] and record["config"][k] != own[k]]
        if other:
            raise ValueError(f"{source} was made with another {', '.join(other)}; wanted the same")
        rows = {
            entry["epoch"]: {k: v for k, v in entry["measures"].items() if k.startswith(_PREFIX)}
            for entry in record["history"]
        }
        rows = {epoch: row for epoch, row in rows.items() if row}
        if 0 not in rows or settings.epochs not in rows:
            raise ValueError(f"{source} holds no norms of the score weights at the start and the end; train it again")
        self.epochs = sorted(rows)
        self.names = list(rows[0])
        norms = np.array([[rows[epoch].get(name) or np.nan for name in self.names] for epoch in self.epochs])
        if not (np.isfinite(norms) & (norms > 0)).all():
            raise ValueError(f"{source} holds norms that are not positive; nothing can follow them")
        self.logarithms = np.log(norms)
        self.description = {
            "matched_to": record["variant"],
            "norms": records.digest({"epochs": self.epochs, "norms": norms.tolist()}),
        }

    def norms(self, epochs: float | int) -> dict[str, float]:
        """Spectral norm of every matrix when so many epochs are done, by the name under which it was recorded."""
        return {
            name: float(np.exp(np.interp(epochs, self.epochs, column)))
            for name, column in zip(self.names, self.logarithms.T, strict=True)
        }

    @torch.no_grad()
    def __call__(self, model: nn.Module, epochs: float | int) -> None:
        fusion = getattr(model, "fusion", None)
        if not isinstance(fusion, BilinearAttention) or fusion.score_maps.spectral != "quotient":
            raise ValueError(
                "only weights under the spectral quotient can follow the norms of another run: elsewhere rescaling "
                f"them changes the function; got {fusion!r}"
            )
        maps, target = fusion.score_maps, self.norms(epochs)
        names = [[f"{_PREFIX}{layer}/{m}" for m in fusion.modalities] for layer in range(len(maps.weights))]
        own = sum(names, [])
        if set(own) != set(target):
            raise ValueError(f"the followed run has the score matrices {sorted(target)}, this one {sorted(own)}")
        for layer, weight in enumerate(maps.weights):
            if not torch.isfinite(weight).all():
                return  # The loop is about to end this run as diverged.
            # The square root of the largest eigenvalue of W Wᵀ: exact like the singular values, and half their price.
            current = torch.linalg.eigvalsh(weight @ weight.mT)[:, -1].sqrt()
            wanted = torch.tensor([target[name] for name in names[layer]], dtype=weight.dtype, device=weight.device)
            weight.mul_((wanted / current)[:, None, None])
