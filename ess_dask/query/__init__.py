"""Questions: SQL over what is in memory."""
