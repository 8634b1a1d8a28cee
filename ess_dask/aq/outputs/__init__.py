"""Outputs: where rows go and how they are written."""
