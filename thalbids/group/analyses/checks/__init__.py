"""What a referee asks of the models: influence of single people, who was lost, missing values."""
