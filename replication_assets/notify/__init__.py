"""Channels that notifications leave through: one module each, no code in common."""
