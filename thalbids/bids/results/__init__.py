"""The derivative dataset: names, files, tables and their data dictionaries; written, read again, shared."""
