"""A long date range, run piece by piece: ``ess backfill``."""
