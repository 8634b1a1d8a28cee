"""Databases in the cluster's memory as the aq programs see them: -imp, aq_udb, udbsql."""
