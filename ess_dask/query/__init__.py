"""Questions: SQL over files and over what is in memory."""
