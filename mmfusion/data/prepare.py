"""From a data set to what a model is trained and tested on; and back again from a run's record."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Generator, Tensor

from mmfusion.data import catalogue, corruption
from mmfusion.data.dataset import MultimodalDataset, Standardiser


@dataclass(frozen=True, eq=False)
class Prepared:
    """Training and test part, divided by episode, and the standardiser fitted on the former.

    ``train_set`` and ``test_set`` are what models take: see :meth:`mmfusion.data.dataset.MultimodalDataset.tensors`.
    """

    train: MultimodalDataset
    test: MultimodalDataset
    standardiser: Standardiser

    @cached_property
    def train_set(self) -> dict[str, Tensor]:
        """All training samples, clean and standardised."""
        return self.train.tensors(self.standardiser)

    @cached_property
    def test_set(self) -> dict[str, Tensor]:
        """All held-out samples, clean and standardised with the training part's moments."""
        return self.test.tensors(self.standardiser)

    def damaged(self, batch: Mapping[str, Tensor], severity: float | int, generator: Generator) -> dict[str, Tensor]:
        """The batch with every modality damaged, as :func:`mmfusion.data.corruption.corrupt` does it."""
        return corruption.corrupt(batch, severity, generator, channels=self.train.widths)


def prepared(
    dataset: MultimodalDataset, test_fraction: float = 0.25, seed: int = 0, modalities: Iterable[str] | None = None
) -> Prepared:
    """Split by episode and fit the standardiser; ``modalities`` keeps some of the data set's.

    Raises ``ValueError`` for an unknown modality, a fraction outside (0, 1), or fewer than two episodes.
    """
    dataset = dataset if modalities is None else dataset.only(modalities)
    train, test = dataset.split(test_fraction, seed)
    return Prepared(train, test, Standardiser.fit(train))


def of_record(record: Mapping, root: str | Path | None = None) -> Prepared:
    """The data on which a recorded run was trained and tested, split as it was then.

    Parameters
    ----------
    record : of schema ``run/2``; its data set says ``frames``, ``size`` and ``seed``.
    root : where data sets are kept, or lie; see :func:`mmfusion.data.catalogue.load`.

    Raises ``ValueError`` where the data cannot be had, or differ from those of the record.
    """
    about, made = record["dataset"], record["provenance"]
    dataset = catalogue.load(
        about["name"], root=root, frames=about["frames"], size=about["size"], seed=about["seed"], progress=False
    )
    if dataset.digest != about["digest"]:
        raise ValueError(
            f"the runs were made on {about['name']} {about['digest'][:12]}, the data here are {dataset.digest[:12]}; "
            "train again, or name the folder of their data"
        )
    found = prepared(dataset, made.get("test_fraction", 0.25), about["seed"], record["modalities"])
    counts = {"train": len(found.train), "test": len(found.test)}
    if counts != record["config"]["samples"]:
        raise ValueError(f"the runs had samples {record['config']['samples']}, the data at hand give {counts}")
    return found
