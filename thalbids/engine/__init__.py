"""Run steps: records, fingerprints, scheduling, workers, locks, logs. Knows no thalamus and no BIDS."""
