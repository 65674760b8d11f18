"""Correlations and groups compared, and p-values corrected for many tests."""
