"""Who was measured, and how large the thalamus is."""
