"""Shipped helpers for tests: conformance suites, a synthetic lake, fault-scripted doubles."""
