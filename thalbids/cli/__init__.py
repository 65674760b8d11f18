"""The command line: parsing, exit codes, signals. No other module reads arguments or ends the process."""
