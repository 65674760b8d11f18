"""What a trial needs: progression, test-retest, sample size."""
