"""The command line: one file a verb, nothing heavy until a verb runs."""
