"""Inputs: opening them, telling records and fields apart, typing the fields."""
