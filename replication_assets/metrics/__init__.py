"""Monitoring systems that figures are handed to: one module each, no code in common."""
