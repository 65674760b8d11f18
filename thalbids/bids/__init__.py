"""The only place that knows BIDS: find inputs, name and write derivatives."""

from thalbids.bids.results.dictionaries import LABEL_TABLE, LABEL_TABLE_COLUMNS

__all__ = ["LABEL_TABLE", "LABEL_TABLE_COLUMNS"]
