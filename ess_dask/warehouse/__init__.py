"""Where clean data ends: plan, stage, load, verify, with a ledger and the rejects."""
