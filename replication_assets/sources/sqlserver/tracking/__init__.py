"""Capture from Change Tracking: the server notes which keys changed, and when for the last time."""

from replication_assets.sources.sqlserver.tracking import setup
from replication_assets.sources.sqlserver.tracking.places import TrackingHandOff, read_status
from replication_assets.sources.sqlserver.tracking.stream import open_changes

__all__ = ["TrackingHandOff", "open_changes", "read_status", "setup"]
