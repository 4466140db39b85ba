"""Adapters of `ProjectionTarget`, one file per kind of store."""
