"""The verbs of the command line: the only rooms that see the configuration."""
