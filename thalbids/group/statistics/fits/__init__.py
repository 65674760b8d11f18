"""Models of one outcome: least squares, mixed, ordinal, logistic, and what is computed from a fit."""
