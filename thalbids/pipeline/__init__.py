"""The plan of a run and the engine that carries it out."""
