"""External programs: a runner, and one module per program with its command line, outputs and failures."""
