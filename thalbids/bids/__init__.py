"""The only place that knows BIDS: find inputs, name and write derivatives."""

from thalbids.bids.dictionaries import LABEL_TABLE

__all__ = ["LABEL_TABLE"]
