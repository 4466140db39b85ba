"""Masking: from raw rows to rows that a nonproduction environment may hold, and the proof of it."""
