"""Multimodal fusion with every claim executed: operators, bounds, measures and the evidence ledger."""

__version__ = "0.1.0"
