"""Cleaning commands: shell, SQL, Python functions; one small protocol, plug-ins by entry point."""
