"""SynThal's networks and the steps around them: intensities in, probabilities out."""
