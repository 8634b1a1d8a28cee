"""Option lists to programs."""
