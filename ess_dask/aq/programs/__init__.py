"""The aq programs: an option list in, an exit code out."""
