"""Refreshes: what is copied, in which order, as of when, and what is proven of the copy."""
