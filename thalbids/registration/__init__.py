"""Bring FLAIR and R1 onto the T1w grid: strategies, the metric gate, the choice. See docs/registration.md."""
