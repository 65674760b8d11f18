"""What clinical models have in common: covariates, samples, sites, missing data, fits."""
