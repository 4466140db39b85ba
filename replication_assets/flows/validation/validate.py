"""Validate: is the event store what the source holds, and a projection what the store holds?

Both compare digests of all id ranges first, and rows of the ranges that differ. Neither changes
anything; `flows.repair_projection` and a new load do.
"""

from replication_assets.flows.validation.findings import RangeValidation, Shown, Validation
from replication_assets.flows.validation.projection import validate_projection
from replication_assets.flows.validation.source import validate_source

__all__ = ["RangeValidation", "Shown", "Validation", "validate_projection", "validate_source"]
