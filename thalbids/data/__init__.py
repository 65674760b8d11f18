"""Weights, label tables and schemas that ship with the package."""
