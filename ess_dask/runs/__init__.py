"""Runs: what state each is in, the journal of it on disk, and who may run when."""
