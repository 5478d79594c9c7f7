"""The one training loop: from a model and tensors to a history of losses and measures.

What a run is made of, and where its record goes, is the matter of :mod:`mmfusion.runs`.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from mmfusion import records
from mmfusion.models import MultimodalAutoencoder
from mmfusion.objectives import l2_penalty, reconstruction_errors, total_error

Batch = Mapping[str, Tensor]
Corrupt = Callable[[Batch, torch.Generator], Batch]
Measure = Callable[[MultimodalAutoencoder, int], Mapping[str, float]]
Adjust = Callable[[MultimodalAutoencoder, float], None]

PENALISED = ("fusion", "everything")
ALGORITHMS = {
    "fixed": {"deterministic": True, "benchmark": False},
    "timed": {"deterministic": True, "benchmark": True},
    "free": {"deterministic": False, "benchmark": True},
}
CHECKPOINT_SCHEMA = "checkpoint/2"
# Every model sees the same corrupted test set, so that differences between runs are not differences of noise.
_TEST_CORRUPTION_SEED = 20_001
_CORRUPTION_STREAM = 0x5EED
_BLOCK = 8
_EVALUATED = 256


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters of the loop; the defaults are those of paper A, section 5.3.

    Parameters
    ----------
    epochs, batch_size : passes over the training data; samples per step (the last step takes what is left).
    learning_rate : of Adam.
    weight_l2 : strength lambda of the L2 penalty (Eq. 7).
    penalise : what the penalty applies to: ``"fusion"``, the weights that the fusion declares as penalised, or
        ``"everything"``, all parameters of the model.
    measure_every : epochs between two calls of ``measure``; it is also called before the first and after the last.
    checkpoint_every : epochs between two checkpoints.
    device : ``cpu``, ``cuda``, ``cuda:1``, ``mps``, ...
    mixed_precision : bfloat16 where autocast allows it, single precision elsewhere; weights stay in single precision.
        Needs no gradient scaling, since bfloat16 has the exponents of single precision.
    compile : compile the model with ``torch.compile``, once for full batches and once for what is left of an epoch.
    channels_last : keep colours and channels innermost in memory, as a GPU's convolutions in bfloat16 want them;
        those of a CPU gain a tenth.
    algorithms : how CUDA's convolutions are computed. ``"fixed"``: deterministic and the same in every process, so that
        a run that is continued ends as if never interrupted. ``"timed"``: deterministic, but the fastest of a trial at
        the start, which another process may choose otherwise: a continued run then agrees up to rounding. ``"free"``:
        the fastest of all, and no two runs agree bit for bit.

    Raises
    ------
    ValueError : a value out of range, or a device that this machine does not have.
    """

    epochs: int = 200
    batch_size: int = 64
    learning_rate: float | int = 1e-3
    weight_l2: float | int = 0.0
    penalise: str = "fusion"
    measure_every: int = 10
    checkpoint_every: int = 10
    device: str = "cpu"
    mixed_precision: bool = False
    compile: bool = False
    channels_last: bool = True
    algorithms: str = "fixed"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "measure_every", "checkpoint_every"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{name} must be a whole number from 1, got {value!r}")
        for name, lowest in (("learning_rate", "above"), ("weight_l2", "from")):
            value = getattr(self, name)
            number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
            if not number or value < 0 or (lowest == "above" and value == 0):
                raise ValueError(f"{name} must be a finite number {lowest} 0, got {value!r}")
        if self.penalise not in PENALISED:
            raise ValueError(f"penalise must be one of {list(PENALISED)}, got {self.penalise!r}")
        if self.algorithms not in ALGORITHMS:
            raise ValueError(f"algorithms must be one of {list(ALGORITHMS)}, got {self.algorithms!r}")
        find_device(self.device)

    @property
    def layout(self) -> torch.memory_format:
        """Memory layout of pictures and of the convolutions' weights."""
        return torch.channels_last if self.channels_last else torch.preserve_format

    def convolutions(self) -> AbstractContextManager:
        """Within it, CUDA's convolutions are computed as ``algorithms`` says."""
        # By default this context turns cuDNN off.
        return torch.backends.cudnn.flags(enabled=True, **ALGORITHMS[self.algorithms])


@dataclass
class RunResult:
    """What a training run leaves behind.

    ``status`` is ``"finished"``, or ``"diverged"`` with ``diverged_at`` the epoch in which a loss stopped being finite.
    ``history`` holds one entry per completed epoch, the untrained model being epoch 0:
    ``{"epoch", "train": {modality: mse, "total"}, "test": {...}, "measures": {...}}``.
    """

    model: MultimodalAutoencoder
    status: str = "finished"
    diverged_at: int | None = None
    history: list[dict[str, Any]] = field(default_factory=list)


def find_device(name: str) -> torch.device:
    """The named device, if this machine has it.

    Raises
    ------
    ValueError : no device of that name, or none such in this machine.
    """
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"unknown device {name!r}; wants cpu, cuda, cuda:<index> or mps") from error
    counts = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    if device.type not in counts:
        raise ValueError(f"unknown device {name!r}; wants cpu, cuda, cuda:<index> or mps")
    if (device.index or 0) >= counts[device.type]:
        raise ValueError(f"this machine has no device {name!r}: it has {counts[device.type]} of type {device.type}")
    return device


def check_seeds(seeds: Any) -> list[int]:
    """The seeds as a list, if they are distinct whole numbers from 0 and there is at least one.

    Raises
    ------
    ValueError : anything else.
    """
    wanted = "seeds must be a list of distinct whole numbers from 0, such as [0, 1]"
    if isinstance(seeds, (str, bytes, Real)) or not isinstance(seeds, Iterable):
        raise ValueError(f"{wanted}; got {seeds!r}")
    seeds = list(seeds)
    valid = all(isinstance(seed, Integral) and not isinstance(seed, bool) and seed >= 0 for seed in seeds)
    if not seeds or not valid or len(set(seeds)) != len(seeds):
        raise ValueError(f"{wanted}; got {seeds!r}")
    return [int(seed) for seed in seeds]


def train(
    model: MultimodalAutoencoder,
    train_set: Batch,
    test_set: Batch,
    settings: Settings,
    seed: int,
    *,
    corrupt: Corrupt | None = None,
    measure: Measure | None = None,
    watch: Measure | None = None,
    adjust: Adjust | None = None,
    checkpoint: str | PathLike | None = None,
    key: str = "",
    progress: bool = True,
) -> RunResult:
    """Train a model to reconstruct clean modalities from corrupted ones.

    Both data sets live on the device as whole tensors. Order, corruption and the global random state follow from the
    seed alone; the caller's random state is left untouched. The test inputs are corrupted once, alike in every run.

    Parameters
    ----------
    model : moved to the device and trained in place.
    train_set, test_set : ``{modality: (samples, ...)}``, the same modalities and number of samples throughout.
    seed : of the order of samples and of the corruption; the initial weights are the caller's.
    corrupt : ``(batch, generator) -> batch`` on the device; ``None`` trains on clean inputs.
    measure : ``(model in evaluation mode, epoch) -> {name: number}``, called every ``settings.measure_every`` epochs.
    watch : like ``measure``, for what is cheap: called before the first epoch and after every one.
    adjust : ``(model, epochs done, as a fraction)``, called after every step to change weights in place, for controls.
    checkpoint : file for the state of the run. If it exists and was made with the same ``key``, the run continues
        from it and ends bit for bit as if never interrupted (on one kind of hardware); otherwise it is overwritten.
    key : names the run's full configuration.
    progress : show a progress bar.

    Raises
    ------
    ValueError : data that do not fit the model or are not finite; a checkpoint that cannot be read or written.
    """
    device = find_device(settings.device)
    for data in (train_set, test_set):
        model.validate(data)
        if not len(next(iter(data.values()))):
            raise ValueError("both data sets must hold at least one sample")
    forked = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=forked), settings.convolutions():
        torch.manual_seed(check_seeds([seed])[0])
        loop = Loop(model, train_set, test_set, settings, seed, corrupt, measure, watch, adjust)
        path = None if checkpoint is None else Path(checkpoint)
        if path is not None and path.exists():
            loop.restore(path, key)
        loop.run(path, key, progress)
    return loop.result


class Loop:
    """State of one run: all that a checkpoint must hold is held here. Made by :func:`train`, and timed by the bench."""

    def __init__(
        self, model, train_set, test_set, settings, seed, corrupt=None, measure=None, watch=None, adjust=None
    ) -> None:
        self.settings, self.device = settings, find_device(settings.device)
        device = self.device
        self.corrupt, self.measure, self.watch, self.adjust = corrupt, measure, watch, adjust
        self.model = model.to(device, memory_format=settings.layout)
        # Compiled for the batch sizes that occur: one that holds for any size is slower. Weights are shared; measures
        # and evaluation see the plain model.
        self.forward = torch.compile(model, dynamic=False) if settings.compile else model
        self.train_set = {name: self._resident(train_set[name]) for name in model.specs}
        self.test_set = {name: self._resident(test_set[name]) for name in model.specs}
        self.order = torch.Generator().manual_seed(seed)
        self.noise = torch.Generator(device).manual_seed(seed ^ _CORRUPTION_STREAM)
        fixed = torch.Generator(device).manual_seed(_TEST_CORRUPTION_SEED)
        self.test_inputs = corrupt(self.test_set, fixed) if corrupt else self.test_set
        self.optimiser = torch.optim.Adam(
            model.parameters(), lr=settings.learning_rate, fused=device.type in ("cpu", "cuda")
        )
        everything = settings.penalise == "everything"
        self.penalised = list(model.parameters() if everything else model.fusion.penalised_parameters())
        self.names = [*model.specs, "total"]
        self.samples = len(next(iter(self.train_set.values())))
        self.result = RunResult(model)

    def _resident(self, tensor: Tensor) -> Tensor:
        if tensor.ndim == 4:
            return tensor.to(self.device, memory_format=self.settings.layout)
        return tensor.to(self.device)

    def run(self, checkpoint: Path | None, key: str, progress: bool) -> None:
        settings, history = self.settings, self.result.history
        if not history:
            first = self.evaluate(self.train_set, self._noisy_train_set())
            self._record(0, first, self.evaluate(self.test_set, self.test_inputs))
        with tqdm(
            total=settings.epochs, initial=len(history) - 1, unit="epoch", disable=not progress, leave=False
        ) as bar:
            while self.result.status == "finished" and len(history) <= settings.epochs:
                epoch = len(history)
                if not self._record(epoch, self.epoch(), self.evaluate(self.test_set, self.test_inputs)):
                    break
                bar.set_postfix(test=f"{history[-1]['test']['total']:.4f}", refresh=False)
                bar.update()
                if checkpoint is not None and (epoch % settings.checkpoint_every == 0 or epoch == settings.epochs):
                    self.save(checkpoint, key)
        self.model.eval()

    def epoch(self) -> list[float]:
        """One pass over the training data; mean errors, read back from the device once."""
        self.model.train()
        order = torch.randperm(self.samples, generator=self.order).to(self.device)
        sums = torch.zeros(len(self.names), device=self.device, dtype=torch.float64)
        size, epochs, done = self.settings.batch_size, len(self.result.history) - 1, 0
        # Corrupting several batches at once spares the accelerator most of the corruption's small kernels.
        for block in order.split(_BLOCK * size):
            clean = {name: tensor[block] for name, tensor in self.train_set.items()}
            inputs = self.corrupt(clean, self.noise) if self.corrupt else clean
            for start in range(0, len(block), size):
                part = slice(start, start + size)
                targets = {name: tensor[part] for name, tensor in clean.items()}
                errors = self.step({name: tensor[part] for name, tensor in inputs.items()}, targets)
                sums += errors * len(block[part])
                done += len(block[part])
                if self.adjust is not None:
                    with torch.no_grad():
                        self.adjust(self.model, epochs + done / self.samples)
        return (sums / self.samples).tolist()

    def step(self, inputs: Batch, clean: Batch) -> Tensor:
        """One optimisation step; the errors of all modalities and their sum, left on the device."""
        self.optimiser.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.settings.mixed_precision):
            outputs = self.forward(inputs)
        errors = reconstruction_errors(outputs, clean)
        total = total_error(errors)
        loss = total + l2_penalty(self.penalised, self.settings.weight_l2)
        loss.backward()
        self.optimiser.step()
        return torch.stack([*(errors[name] for name in self.names[:-1]), total]).detach()

    @torch.no_grad()
    def evaluate(self, clean: Batch, inputs: Batch) -> list[float]:
        """Mean errors of the model in evaluation mode, in single precision, read back from the device once."""
        self.model.eval()
        sums = torch.zeros(len(self.names), device=self.device, dtype=torch.float64)
        count = len(next(iter(clean.values())))
        # Without gradients four batches fit where one did; of small ones, many more.
        size = max(4 * self.settings.batch_size, _EVALUATED)
        for start in range(0, count, size):
            part = slice(start, start + size)
            outputs = self.model({name: tensor[part] for name, tensor in inputs.items()})
            errors = reconstruction_errors(outputs, {name: tensor[part] for name, tensor in clean.items()})
            values = torch.stack([*(errors[name] for name in self.names[:-1]), total_error(errors)])
            sums += values * len(next(iter(outputs.values())))
        return (sums / count).tolist()

    def _noisy_train_set(self) -> Batch:
        if not self.corrupt:
            return self.train_set
        fixed = torch.Generator(self.device).manual_seed(_TEST_CORRUPTION_SEED)
        return self.corrupt(self.train_set, fixed)

    def _record(self, epoch: int, train: list[float], test: list[float]) -> bool:
        if not all(map(math.isfinite, [*train, *test])):
            self.result.status, self.result.diverged_at = "diverged", epoch
            return False
        settings = self.settings
        due = epoch % settings.measure_every == 0 or epoch == settings.epochs
        self.model.eval()
        measured = {}
        # A measure may draw random numbers; the run must not notice.
        with torch.random.fork_rng(devices=[self.device.index or 0] if self.device.type == "cuda" else []):
            for ask in (self.watch, self.measure if due else None):
                measured |= ask(self.model, epoch) if ask else {}
        measures = {name: float(value) for name, value in measured.items()}
        measures = {name: value if math.isfinite(value) else None for name, value in measures.items()}
        self.result.history.append(
            {
                "epoch": epoch,
                "train": dict(zip(self.names, train, strict=True)),
                "test": dict(zip(self.names, test, strict=True)),
                "measures": measures,
            }
        )
        return True

    def save(self, path: Path, key: str) -> None:
        state = {
            "schema": CHECKPOINT_SCHEMA,
            "key": key,
            "history": self.result.history,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "order": self.order.get_state(),
            "noise": self.noise.get_state(),
            "global": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        records.write_bytes(path, buffer.getvalue())

    def restore(self, path: Path, key: str) -> None:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            known = state["schema"] == CHECKPOINT_SCHEMA
        except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
            raise ValueError(
                f"checkpoint {path} is truncated or not a checkpoint; delete it to start this run afresh"
            ) from error
        if not known or state["key"] != key:
            return
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.order.set_state(state["order"])
        self.noise.set_state(state["noise"])
        torch.set_rng_state(state["global"])
        if state["cuda"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"], self.device)
        self.result.history[:] = state["history"]
