"""Images as arrays in the world: files, grids, labels, overlap, volumes, similarity. Knows nothing of BIDS."""
