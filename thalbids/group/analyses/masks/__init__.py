"""What is inside the masks: agreement, maps in template space, ratings, quantitative values."""
