"""Data: simulated robots, published recordings, their corruption, and the files that keep them."""

from mmfusion.data.catalogue import DATASETS, Stored, load, obtain
from mmfusion.data.dataset import MultimodalDataset, Standardiser
from mmfusion.data.store import DataError, default_root

__all__ = ["DATASETS", "DataError", "MultimodalDataset", "Standardiser", "Stored", "default_root", "load", "obtain"]
