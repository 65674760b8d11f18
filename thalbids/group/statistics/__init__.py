"""Statistics of the group level: fits, agreement, correlations, tests and their correction."""
