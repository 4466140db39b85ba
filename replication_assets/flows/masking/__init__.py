"""Masking without rows on their way: environments set up, and policies suggested."""
