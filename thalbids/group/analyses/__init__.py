"""Analyses of the group level, one per file: from the cohort to tables."""
