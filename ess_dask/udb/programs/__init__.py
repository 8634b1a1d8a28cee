"""The programs that need databases: aq_pp wired to them, aq_udb, udbsql."""
