"""Several visits of one person: a space between them, and change of the thalamus in it."""
