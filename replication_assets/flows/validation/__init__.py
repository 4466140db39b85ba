"""Validation: the event store against its source, projections against the event store; repair."""
