"""The row interpreter: every rule, one row at a time, in the order of the option list."""
