"""The participant level: the plan of a run, its stages, and the commands that carry it out."""
