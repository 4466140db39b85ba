"""Capture from change data capture: the server's own job reads its log into change tables."""

from replication_assets.sources.sqlserver.cdc import setup
from replication_assets.sources.sqlserver.cdc.places import CdcHandOff, read_status
from replication_assets.sources.sqlserver.cdc.stream import open_changes

__all__ = ["CdcHandOff", "open_changes", "read_status", "setup"]
