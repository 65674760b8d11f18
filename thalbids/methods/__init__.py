"""Segmentation methods, the registry that finds them, and ensembles of their masks."""
