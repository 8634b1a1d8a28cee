"""Knowing what happened: logs, batches, reports, metrics, lineage events, a command to tell."""
