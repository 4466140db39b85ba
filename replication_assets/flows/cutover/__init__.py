"""Cutting reads over from a source to a projection: gates, the switch and its way back."""
