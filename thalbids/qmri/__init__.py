"""Quantitative maps."""
