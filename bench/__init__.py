"""Benchmarks: ours and another way over the same files, in turn, in one run. ``make bench``."""
