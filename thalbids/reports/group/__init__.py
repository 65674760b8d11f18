"""The page of a group: its sections and figures."""
