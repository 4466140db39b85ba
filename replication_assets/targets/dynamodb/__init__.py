"""Adapter: projections as items of DynamoDB tables."""
