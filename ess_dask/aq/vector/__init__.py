"""Whole batches at a time: the programs for which a batch gives what row after row would give."""
