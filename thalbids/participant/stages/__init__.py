"""Stages of a session: which steps each needs, and what those compute."""
