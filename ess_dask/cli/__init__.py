"""The command line: one module per command group, each command thin over one API call."""
