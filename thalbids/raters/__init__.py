"""People who judge and who draw: pages and tables of blinded ratings, and the choice of people for manual masks."""
