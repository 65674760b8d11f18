"""Tables: those that people give (clinical, PBVC, ICV), read strictly, and those that we write."""
