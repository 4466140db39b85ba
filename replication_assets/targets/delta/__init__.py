"""A projection kept as a Delta lakehouse table, readable in place by any Delta reader."""

from replication_assets.targets.delta.target import DeltaTarget

__all__ = ["DeltaTarget"]
