"""Signal models and their inverses, on arrays alone."""
