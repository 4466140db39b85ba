"""Attempts to get a raw value into a nonproduction database. Each ends with an error that says why."""
