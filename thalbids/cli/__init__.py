"""The command line: parsing, exit codes, signals. No other module reads arguments or ends the process."""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is loaded: the last digits of its results depend on the number
