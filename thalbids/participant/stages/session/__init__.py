"""Stages of one session."""
