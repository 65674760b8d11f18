"""The group level: agreement, change and clinical statistics from derivatives and tables; never raw images."""
