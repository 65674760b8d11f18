"""Stages that look at several sessions of a person, and the person's page."""
