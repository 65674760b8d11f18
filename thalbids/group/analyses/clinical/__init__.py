"""Clinical scores against volumes and their change."""
