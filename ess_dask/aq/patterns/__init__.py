"""Patterns: globs, regular expressions of three syntaxes, mapping templates."""
